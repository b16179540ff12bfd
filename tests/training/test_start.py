from __future__ import annotations

import pytest
import torch

from mal.config.schema import ExperimentSpec
from mal.errors import UserError
from mal.training.start import starting_point
from tests.checkpoint.foreign_files import FOREIGN_FILES, whole
from tests.export.exported import small_checkpoint
from tests.small_networks import small_backbone, small_network, small_spec


def spec_starting_from(path, **model) -> ExperimentSpec:
    sections = {"train": {"pretrained_model_path": str(path)}}
    return ExperimentSpec.model_validate(sections | ({"model": model} if model else {}))


@pytest.mark.parametrize("layout", FOREIGN_FILES)
def test_a_whole_foreign_checkpoint_gives_network_and_heads_of_student_and_teacher(tmp_path, capsys, layout):
    tensors = whole(small_network("conv"))
    tensors |= {name: torch.ones_like(value) for name, value in tensors.items() if name.startswith("teacher.")}
    start = starting_point(spec_starting_from(FOREIGN_FILES[layout](tensors, tmp_path / "mal.ckpt")), tmp_path)
    assert (start.spec.model.arch, start.spec.model.num_blocks) == ("vit-deit-tiny/16", 1)
    assert start.resume_from is None
    for name, value in start.student.state_dict().items():
        assert torch.equal(value, tensors[f"student.{name}"])
    assert all((value == 1).all() for value in start.teacher.state_dict().values())
    line = " ".join(capsys.readouterr().out.split())
    assert f"{len(tensors) // 2} matched, 0 missing, 0 unexpected, 0 resized" in line


def test_heads_of_another_width_start_afresh_and_are_counted(tmp_path, capsys):
    path = FOREIGN_FILES["nvlabs"](whole(small_network()), tmp_path / "mal.ckpt")
    start = starting_point(spec_starting_from(path, mask_head_out_channel=16), tmp_path)
    assert start.spec.model.mask_head_out_channel == 16
    assert "6 missing, 6 unexpected" in capsys.readouterr().out


def test_a_checkpoint_of_another_architecture_is_named(tmp_path):
    path = FOREIGN_FILES["nvlabs"](whole(small_network()), tmp_path / "mal.ckpt")
    with pytest.raises(
        UserError, match=r"model\.arch: vit-deit-small/16 in the spec, but .*mal\.ckpt holds vit-deit-ti"
    ):
        starting_point(spec_starting_from(path, arch="vit-deit-small/16"), tmp_path)


def test_a_released_backbone_fills_student_and_teacher_alike(tmp_path):
    torch.save({"model": small_backbone().state_dict()}, tmp_path / "deit.pth")
    start = starting_point(spec_starting_from(tmp_path / "deit.pth", num_blocks=1), tmp_path)
    assert (start.spec.model.arch, start.student.backbone.stem) == ("vit-deit-tiny/16", "patch")
    for name, value in start.student.state_dict().items():
        assert torch.equal(value, start.teacher.state_dict()[name])


def test_weights_of_something_else_are_refused(tmp_path):
    torch.save({"conv1.weight": torch.ones(64, 3, 7, 7)}, tmp_path / "resnet.pth")
    with pytest.raises(UserError, match=r"resnet\.pth: none of its weights fits this backbone"):
        starting_point(spec_starting_from(tmp_path / "resnet.pth", arch="vit-deit-tiny/16"), tmp_path)


@pytest.mark.parametrize("resumes", [True, False])
def test_a_run_does_not_start_from_weights_that_are_not_numbers(resumes, tmp_path):
    content = torch.load(small_checkpoint(tmp_path / "good.pth"), weights_only=True)
    content["state_dict"]["teacher.mask_head.convs.0.conv.weight"].fill_(torch.nan)
    torch.save(content, tmp_path / "bad.pth")
    key = "resume_training_checkpoint_path" if resumes else "pretrained_model_path"
    with pytest.raises(UserError, match=r"bad\.pth: (teacher\.)?mask_head\.convs\.0\.conv\.weight holds values that"):
        starting_point(small_spec(train={key: str(tmp_path / "bad.pth")}), tmp_path)
