"""Which checkpoint a run goes on from when the latest is damaged."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from mal.checkpoint.saved_spec import saved_spec
from mal.checkpoint.store import write_checkpoint
from mal.config.schema import ExperimentSpec
from mal.errors import DamagedFile, LockedFile, UserError
from mal.training.initial_weights import resolve_initial_weights
from tests.checkpoint.foreign_files import FOREIGN_FILES, whole
from tests.export.exported import small_checkpoint
from tests.small_networks import small_backbone, small_network, small_spec

LATEST = "mal_model_latest.pth"


def write_run(path: Path, steps: int, key: str | None = None) -> Path:
    """A checkpoint that a run can go on from."""
    loop = {
        "epoch_progress": {"current": {"ready": 1, "processed": 1}},
        "epoch_loop.batch_progress": {"is_last_batch": True, "current": {"ready": 3}},
    }
    content = {
        "state_dict": whole(small_network()),
        "hyper_parameters": saved_spec(small_spec(), "patch"),
        "epoch": 0,
        "global_step": steps,
        "loops": {"fit_loop": loop},
    }
    write_checkpoint(content, path, key)
    return path


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 3)


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("harm", [damage, cut, empty])
def test_the_newest_good_checkpoint_takes_the_place_of_a_damaged_latest(tmp_path, harm, capsys):
    write_run(tmp_path / "model_epoch_000.pth", 10)
    write_run(tmp_path / "model_step_000030.pth", 30)
    write_run(tmp_path / "model_epoch_001.pth", 20)
    harm(write_run(tmp_path / LATEST, 40))
    start = resolve_initial_weights(small_spec(), tmp_path)
    assert (start.resume_from, start.steps_done) == (tmp_path / "model_step_000030.pth", 30)
    assert start.warning is not None
    assert f"{tmp_path / LATEST} is damaged" in start.warning
    assert "model_step_000030.pth (step 30)" in start.warning
    assert start.warning in capsys.readouterr().out


def test_the_damage_of_a_latest_that_is_another_name_is_that_of_both(tmp_path):
    write_run(tmp_path / "model_epoch_000.pth", 10)
    (tmp_path / LATEST).hardlink_to(write_run(tmp_path / "model_epoch_001.pth", 20))
    damage(tmp_path / LATEST)
    assert resolve_initial_weights(small_spec(), tmp_path).resume_from == tmp_path / "model_epoch_000.pth"


def test_the_best_model_counts_too(tmp_path):
    write_run(tmp_path / "model_best.pth", 10)
    damage(write_run(tmp_path / LATEST, 20))
    assert resolve_initial_weights(small_spec(), tmp_path).resume_from == tmp_path / "model_best.pth"


def test_files_that_no_run_can_go_on_from_are_passed_over(tmp_path):
    write_run(tmp_path / "model_epoch_000.pth", 10)
    write_checkpoint({"state_dict": whole(small_network()), "global_step": 99}, tmp_path / "weights.pth")
    (tmp_path / "notes.pth").write_text("no checkpoint at all")
    write_run(tmp_path / ".model_epoch_009.pth.12.draft.pth", 50)
    damage(write_run(tmp_path / LATEST, 20))
    assert resolve_initial_weights(small_spec(), tmp_path).resume_from == tmp_path / "model_epoch_000.pth"


def test_where_no_checkpoint_is_good_each_is_named(tmp_path):
    for name in ("model_epoch_000.pth", LATEST):
        damage(write_run(tmp_path / name, 10))
    with pytest.raises(UserError, match=rf"{LATEST}: damaged.* \(model_epoch_000\.pth\).* new results_dir"):
        resolve_initial_weights(small_spec(), tmp_path)


def test_a_damaged_checkpoint_that_was_asked_for_is_an_error(tmp_path):
    write_run(tmp_path / LATEST, 20)
    damage(write_run(tmp_path / "mine.pth", 10))
    spec = small_spec(train={"resume_training_checkpoint_path": str(tmp_path / "mine.pth")})
    with pytest.raises(DamagedFile, match=r"mine\.pth: damaged"):
        resolve_initial_weights(spec, tmp_path)


@pytest.mark.parametrize("key", [None, "other"])
def test_a_latest_under_another_key_is_an_error_and_not_damaged(tmp_path, key):
    write_run(tmp_path / "model_epoch_000.pth", 10)
    write_run(tmp_path / LATEST, 20, "secret")
    with pytest.raises(LockedFile):
        resolve_initial_weights(small_spec(encryption_key=key), tmp_path)


def test_a_good_checkpoint_under_another_key_is_an_error_and_not_passed_over(tmp_path):
    write_run(tmp_path / "model_epoch_000.pth", 10, "secret")
    damage(write_run(tmp_path / LATEST, 20))
    with pytest.raises(LockedFile, match=r"model_epoch_000\.pth"):
        resolve_initial_weights(small_spec(), tmp_path)


def test_with_the_key_a_damaged_encrypted_latest_gives_way(tmp_path, monkeypatch):
    monkeypatch.setenv("MAL_ENCRYPTION_KEY", "secret")
    write_run(tmp_path / "model_epoch_000.pth", 10, "secret")
    cut(write_run(tmp_path / LATEST, 20, "secret"))
    assert resolve_initial_weights(small_spec(), tmp_path).resume_from == tmp_path / "model_epoch_000.pth"


def test_a_good_latest_is_taken_without_a_word(tmp_path):
    write_run(tmp_path / "model_epoch_009.pth", 90)
    write_run(tmp_path / LATEST, 20)
    start = resolve_initial_weights(small_spec(), tmp_path)
    assert (start.resume_from, start.warning) == (tmp_path / LATEST, None)


def spec_starting_from(path, **model) -> ExperimentSpec:
    sections = {"train": {"pretrained_model_path": str(path)}}
    return ExperimentSpec.model_validate(sections | ({"model": model} if model else {}))


@pytest.mark.parametrize("layout", FOREIGN_FILES)
def test_a_whole_foreign_checkpoint_gives_network_and_heads_of_student_and_teacher(tmp_path, capsys, layout):
    tensors = whole(small_network("conv"))
    tensors |= {name: torch.ones_like(value) for name, value in tensors.items() if name.startswith("teacher.")}
    start = resolve_initial_weights(spec_starting_from(FOREIGN_FILES[layout](tensors, tmp_path / "mal.ckpt")), tmp_path)
    assert (start.spec.model.arch, start.spec.model.num_blocks) == ("vit-deit-tiny/16", 1)
    assert start.resume_from is None
    for name, value in start.student.state_dict().items():
        assert torch.equal(value, tensors[f"student.{name}"])
    assert all((value == 1).all() for value in start.teacher.state_dict().values())
    line = " ".join(capsys.readouterr().out.split())
    assert f"{len(tensors) // 2} matched, 0 missing, 0 unexpected, 0 resized" in line


def test_heads_of_another_width_start_afresh_and_are_counted(tmp_path, capsys):
    path = FOREIGN_FILES["nvlabs"](whole(small_network()), tmp_path / "mal.ckpt")
    start = resolve_initial_weights(spec_starting_from(path, mask_head_out_channel=16), tmp_path)
    assert start.spec.model.mask_head_out_channel == 16
    assert "6 missing, 6 unexpected" in capsys.readouterr().out


def test_a_checkpoint_of_another_architecture_is_named(tmp_path):
    path = FOREIGN_FILES["nvlabs"](whole(small_network()), tmp_path / "mal.ckpt")
    with pytest.raises(
        UserError, match=r"model\.arch: vit-deit-small/16 in the spec, but .*mal\.ckpt holds vit-deit-ti"
    ):
        resolve_initial_weights(spec_starting_from(path, arch="vit-deit-small/16"), tmp_path)


def test_a_released_backbone_fills_student_and_teacher_alike(tmp_path):
    torch.save({"model": small_backbone().state_dict()}, tmp_path / "deit.pth")
    start = resolve_initial_weights(spec_starting_from(tmp_path / "deit.pth", num_blocks=1), tmp_path)
    assert (start.spec.model.arch, start.student.backbone.stem) == ("vit-deit-tiny/16", "patch")
    for name, value in start.student.state_dict().items():
        assert torch.equal(value, start.teacher.state_dict()[name])


def test_weights_of_something_else_are_refused(tmp_path):
    torch.save({"conv1.weight": torch.ones(64, 3, 7, 7)}, tmp_path / "resnet.pth")
    with pytest.raises(UserError, match=r"resnet\.pth: none of its weights fits this backbone"):
        resolve_initial_weights(spec_starting_from(tmp_path / "resnet.pth", arch="vit-deit-tiny/16"), tmp_path)


@pytest.mark.parametrize("resumes", [True, False])
def test_a_run_does_not_start_from_weights_that_are_not_numbers(resumes, tmp_path):
    content = torch.load(small_checkpoint(tmp_path / "good.pth"), weights_only=True)
    content["state_dict"]["teacher.mask_head.convs.0.conv.weight"].fill_(torch.nan)
    torch.save(content, tmp_path / "bad.pth")
    key = "resume_training_checkpoint_path" if resumes else "pretrained_model_path"
    with pytest.raises(UserError, match=r"bad\.pth: (teacher\.)?mask_head\.convs\.0\.conv\.weight holds values that"):
        resolve_initial_weights(small_spec(train={key: str(tmp_path / "bad.pth")}), tmp_path)
