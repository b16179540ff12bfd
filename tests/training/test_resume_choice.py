"""Which checkpoint a run goes on from when the latest is damaged."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mal.checkpoint.saved_spec import saved_spec
from mal.checkpoint.store import write_checkpoint
from mal.errors import DamagedFile, LockedFile, UserError
from mal.training.start import starting_point
from tests.checkpoint.foreign_files import whole
from tests.small_networks import small_network, small_spec

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
    start = starting_point(small_spec(), tmp_path)
    assert (start.resume_from, start.steps_done) == (tmp_path / "model_step_000030.pth", 30)
    assert start.warning is not None
    assert f"{tmp_path / LATEST} is damaged" in start.warning
    assert "model_step_000030.pth (step 30)" in start.warning
    assert start.warning in capsys.readouterr().out


def test_the_damage_of_a_latest_that_is_another_name_is_that_of_both(tmp_path):
    write_run(tmp_path / "model_epoch_000.pth", 10)
    (tmp_path / LATEST).hardlink_to(write_run(tmp_path / "model_epoch_001.pth", 20))
    damage(tmp_path / LATEST)
    assert starting_point(small_spec(), tmp_path).resume_from == tmp_path / "model_epoch_000.pth"


def test_the_best_model_counts_too(tmp_path):
    write_run(tmp_path / "model_best.pth", 10)
    damage(write_run(tmp_path / LATEST, 20))
    assert starting_point(small_spec(), tmp_path).resume_from == tmp_path / "model_best.pth"


def test_files_that_no_run_can_go_on_from_are_passed_over(tmp_path):
    write_run(tmp_path / "model_epoch_000.pth", 10)
    write_checkpoint({"state_dict": whole(small_network()), "global_step": 99}, tmp_path / "weights.pth")
    (tmp_path / "notes.pth").write_text("no checkpoint at all")
    write_run(tmp_path / ".model_epoch_009.pth.12.draft.pth", 50)
    damage(write_run(tmp_path / LATEST, 20))
    assert starting_point(small_spec(), tmp_path).resume_from == tmp_path / "model_epoch_000.pth"


def test_where_no_checkpoint_is_good_each_is_named(tmp_path):
    for name in ("model_epoch_000.pth", LATEST):
        damage(write_run(tmp_path / name, 10))
    with pytest.raises(UserError, match=rf"{LATEST}: damaged.* \(model_epoch_000\.pth\).* new results_dir"):
        starting_point(small_spec(), tmp_path)


def test_a_damaged_checkpoint_that_was_asked_for_is_an_error(tmp_path):
    write_run(tmp_path / LATEST, 20)
    damage(write_run(tmp_path / "mine.pth", 10))
    spec = small_spec(train={"resume_training_checkpoint_path": str(tmp_path / "mine.pth")})
    with pytest.raises(DamagedFile, match=r"mine\.pth: damaged"):
        starting_point(spec, tmp_path)


@pytest.mark.parametrize("key", [None, "other"])
def test_a_latest_under_another_key_is_an_error_and_not_damaged(tmp_path, key):
    write_run(tmp_path / "model_epoch_000.pth", 10)
    write_run(tmp_path / LATEST, 20, "secret")
    with pytest.raises(LockedFile):
        starting_point(small_spec(encryption_key=key), tmp_path)


def test_a_good_checkpoint_under_another_key_is_an_error_and_not_passed_over(tmp_path):
    write_run(tmp_path / "model_epoch_000.pth", 10, "secret")
    damage(write_run(tmp_path / LATEST, 20))
    with pytest.raises(LockedFile, match=r"model_epoch_000\.pth"):
        starting_point(small_spec(), tmp_path)


def test_with_the_key_a_damaged_encrypted_latest_gives_way(tmp_path, monkeypatch):
    monkeypatch.setenv("MAL_ENCRYPTION_KEY", "secret")
    write_run(tmp_path / "model_epoch_000.pth", 10, "secret")
    cut(write_run(tmp_path / LATEST, 20, "secret"))
    assert starting_point(small_spec(), tmp_path).resume_from == tmp_path / "model_epoch_000.pth"


def test_a_good_latest_is_taken_without_a_word(tmp_path):
    write_run(tmp_path / "model_epoch_009.pth", 90)
    write_run(tmp_path / LATEST, 20)
    start = starting_point(small_spec(), tmp_path)
    assert (start.resume_from, start.warning) == (tmp_path / LATEST, None)
