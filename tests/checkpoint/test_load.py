from __future__ import annotations

import re

import pytest
import torch

from mal.checkpoint.load import Checkpoint, TrainingPlace, load_checkpoint
from mal.checkpoint.matching import load_exactly, load_matching
from mal.checkpoint.origin import OURS
from mal.checkpoint.saved_spec import saved_spec
from mal.errors import UserError
from tests.checkpoint.foreign_files import whole
from tests.small_networks import small_network, small_spec


@pytest.fixture
def network():
    return small_network()


def save(tmp_path, content) -> Checkpoint:
    torch.save(content, tmp_path / "w.pth")
    return load_checkpoint(tmp_path / "w.pth")


def filled(network, value: float) -> dict[str, torch.Tensor]:
    return {name: torch.full_like(tensor, value) for name, tensor in network.state_dict().items()}


def test_student_and_teacher_of_a_checkpoint_are_told_apart(network, tmp_path):
    tensors = {f"student.{name}": value for name, value in filled(network, 1.0).items()}
    tensors |= {f"teacher.{name}": value for name, value in filled(network, 2.0).items()}
    checkpoint = save(tmp_path, {"state_dict": tensors})
    assert checkpoint.holds == ("student", "teacher")
    load_exactly(network, checkpoint.teacher, checkpoint.path)
    assert all((value == 2).all() for name, value in network.state_dict().items())


def test_a_file_without_a_teacher_gives_the_student(tmp_path):
    checkpoint = save(tmp_path, {"state_dict": {"student.a": torch.ones(1)}})
    assert checkpoint.teacher == {"a": torch.ones(1)}
    assert checkpoint.holds == ("student",)
    assert list(checkpoint.tensors) == ["student.a"]


@pytest.mark.parametrize("wrap", [lambda tensors: tensors, lambda tensors: {"model": tensors}])
def test_a_released_backbone_gives_backbone_names(network, tmp_path, wrap):
    backbone = {name.removeprefix("backbone."): v for name, v in network.state_dict().items() if "backbone." in name}
    checkpoint = save(tmp_path, wrap(backbone))
    assert checkpoint.holds == ("backbone",)
    report = load_matching(network, checkpoint.student, checkpoint.path)
    assert len(report.matched) == len(backbone)
    assert report.missing
    assert all(name.startswith(("roi_head.", "mask_head.")) for name in report.missing)


def test_a_network_saved_alone_keeps_its_names(network, tmp_path):
    checkpoint = save(tmp_path, network.state_dict())
    assert checkpoint.holds == ("network",)
    load_exactly(network, checkpoint.student, checkpoint.path)


@pytest.mark.parametrize("stem", ["patch", "conv"])
def test_the_stem_is_read_from_the_names(tmp_path, stem):
    assert save(tmp_path, small_network(stem).state_dict()).stem == stem


def test_weights_without_a_stem_do_not_say_which(tmp_path):
    assert save(tmp_path, {"student.roi_head.mlp1.bias": torch.ones(1)}).stem is None


def test_a_file_without_tensors_is_refused(tmp_path):
    with pytest.raises(UserError, match="holds no named weights"):
        save(tmp_path, {"epoch": 3})


def test_a_missing_tensor_is_named(network, tmp_path):
    tensors = filled(network, 0.0)
    del tensors["roi_head.mlp1.bias"]
    with pytest.raises(UserError, match=r"w\.pth: 1 weights are missing, for instance roi_head\.mlp1\.bias"):
        load_exactly(network, tensors, tmp_path / "w.pth")


def test_a_tensor_of_another_shape_is_named(network, tmp_path):
    tensors = filled(network, 0.0) | {"roi_head.mlp1.bias": torch.ones(3)}
    with pytest.raises(UserError, match=re.escape("roi_head.mlp1.bias has shape [3], the network's is [8]")):
        load_exactly(network, tensors, tmp_path / "w.pth")


def test_the_classifier_of_a_released_backbone_may_be_missing(network, tmp_path):
    tensors = {name: value for name, value in filled(network, 1.0).items() if ".head." not in name}
    load_exactly(network, tensors, tmp_path / "w.pth")


def test_the_report_counts_what_fits_and_what_does_not(network, tmp_path):
    tensors = filled(network, 1.0) | {"roi_head.mlp1.bias": torch.ones(3), "other": torch.ones(1)}
    del tensors["roi_head.mlp2.bias"]
    report = load_matching(network, tensors, tmp_path / "w.pth")
    assert report.missing == ["roi_head.mlp1.bias", "roi_head.mlp2.bias"]
    assert report.unexpected == ["other", "roi_head.mlp1.bias"]
    assert str(report) == f"{len(report.matched)} matched, 2 missing, 2 unexpected, 0 resized"


def test_a_position_embedding_of_another_grid_is_resized(network, tmp_path):
    tensors = filled(network, 1.0) | {"backbone.pos_embed": torch.ones(1, 1 + 7 * 7, 192)}
    report = load_matching(network, tensors, tmp_path / "w.pth")
    assert report.resized == ["backbone.pos_embed"]
    torch.testing.assert_close(network.backbone.pos_embed, torch.ones(1, 1 + 14 * 14, 192))


def test_weights_of_which_none_fits_are_refused(network, tmp_path):
    with pytest.raises(UserError, match="none of its weights fits"):
        load_matching(network, {"backbone.blocks.0.norm1.weight": torch.ones(3)}, tmp_path / "w.pth")


def progress(*, epochs_begun: int, epochs_done: int, batches: int):
    epochs = {"current": {"ready": epochs_begun, "processed": epochs_done}}
    return {"fit_loop": {"epoch_progress": epochs, "epoch_loop.batch_progress": {"current": {"ready": batches}}}}


@pytest.mark.parametrize(
    ("loops", "place"),
    [
        pytest.param(progress(epochs_begun=2, epochs_done=2, batches=5), TrainingPlace(2, 0), id="after an epoch"),
        pytest.param(progress(epochs_begun=3, epochs_done=2, batches=3), TrainingPlace(2, 3), id="within an epoch"),
        pytest.param(progress(epochs_begun=3, epochs_done=2, batches=5), TrainingPlace(2, 5), id="in its validation"),
        ({}, None),
        (None, None),
    ],
)
def test_a_checkpoint_says_where_its_run_goes_on(tmp_path, loops, place):
    assert save(tmp_path, {"state_dict": {"student.a": torch.ones(1)}, "loops": loops}).training.place == place


def test_our_own_file_holds_the_whole_spec_that_it_was_trained_with(tmp_path):
    spec = small_spec(train={"mask_thres": [0.3]})
    content = {"state_dict": whole(small_network()), "hyper_parameters": saved_spec(spec, "patch"), "epoch": 2}
    checkpoint = save(tmp_path, content)
    assert checkpoint.origin == OURS
    assert saved_spec(checkpoint.network_spec(), "patch") == saved_spec(spec, "patch")
    assert checkpoint.training.epoch == 2


def test_our_own_file_with_a_spec_of_another_version_is_named(tmp_path):
    values = saved_spec(small_spec(), "patch")
    values["model"]["from_the_future"] = 1
    with pytest.raises(UserError, match=r"w\.pth: its spec does not fit this version of mal \(model\.from_the_future"):
        save(tmp_path, {"state_dict": whole(small_network()), "hyper_parameters": values})


def test_a_backbone_tells_no_whole_network(tmp_path):
    checkpoint = save(tmp_path, {"model": small_network().backbone.state_dict()})
    assert checkpoint.spec.model.model_fields_set == {"arch"}
    with pytest.raises(UserError, match="holds weights, but not the spec that tells which network they belong to"):
        checkpoint.network_spec()
