from __future__ import annotations

import pytest
import torch

from mal.checkpoint.convert import write_converted
from mal.checkpoint.load import load_checkpoint
from mal.checkpoint.saved_spec import saved_spec
from tests.checkpoint.foreign_files import nvlabs_file, whole
from tests.small_networks import small_network, small_spec

SPEC = saved_spec(small_spec(), "conv")
formats = pytest.mark.parametrize("suffix", [".safetensors", ".pth"])


@pytest.fixture
def checkpoint(tmp_path):
    tensors = whole(small_network("conv"))
    tensors |= {name: value + 1 for name, value in tensors.items() if name.startswith("teacher.")}
    return load_checkpoint(nvlabs_file(tensors, tmp_path / "mal.ckpt"))


@formats
def test_every_tensor_survives(checkpoint, tmp_path, suffix):
    write_converted(checkpoint, SPEC, tmp_path / f"out{suffix}")
    read = load_checkpoint(tmp_path / f"out{suffix}")
    assert read.tensors.keys() == checkpoint.tensors.keys()
    assert all(torch.equal(value, checkpoint.tensors[name]) for name, value in read.tensors.items())


@formats
def test_the_spec_and_the_place_in_training_travel_along(checkpoint, tmp_path, suffix):
    write_converted(checkpoint, SPEC, tmp_path / f"out{suffix}")
    read = load_checkpoint(tmp_path / f"out{suffix}")
    assert saved_spec(read.spec, "conv") == SPEC
    assert (read.training.epoch, read.training.global_step, read.training.place) == (9, 1234, None)


@formats
@pytest.mark.parametrize("network", ["student", "teacher"])
def test_one_network_alone_keeps_its_name_and_answers_for_both(checkpoint, tmp_path, suffix, network):
    write_converted(checkpoint, SPEC, tmp_path / f"out{suffix}", networks=network)
    read = load_checkpoint(tmp_path / f"out{suffix}")
    assert all(name.startswith(f"{network}.") for name in read.tensors)
    for asked in ("student", "teacher"):
        assert torch.equal(
            getattr(read, asked)["roi_head.mlp1.weight"], getattr(checkpoint, network)["roi_head.mlp1.weight"]
        )


@formats
def test_half_precision_halves_the_file(checkpoint, tmp_path, suffix):
    for name, half in (("half", True), ("full", False)):
        write_converted(checkpoint, SPEC, tmp_path / f"{name}{suffix}", half=half)
    sizes = [(tmp_path / f"{name}{suffix}").stat().st_size for name in ("half", "full")]
    assert sizes[0] < 0.6 * sizes[1]
    values = load_checkpoint(tmp_path / f"half{suffix}").tensors
    assert {value.dtype for value in values.values()} == {torch.float16}


def test_counters_of_batches_stay_whole_numbers(checkpoint, tmp_path):
    checkpoint.student["backbone.bn.num_batches_tracked"] = torch.tensor(70000)
    write_converted(checkpoint, SPEC, tmp_path / "out.safetensors", networks="student", half=True)
    assert load_checkpoint(tmp_path / "out.safetensors").tensors["student.backbone.bn.num_batches_tracked"] == 70000


@formats
def test_others_may_read_the_file_as_they_may_read_any_new_one(checkpoint, tmp_path, suffix):
    (tmp_path / "any").touch()
    write_converted(checkpoint, SPEC, tmp_path / f"out{suffix}")
    assert (tmp_path / f"out{suffix}").stat().st_mode == (tmp_path / "any").stat().st_mode
