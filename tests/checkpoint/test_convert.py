from __future__ import annotations

import pytest
import torch

from mal.checkpoint.convert import write_converted
from mal.checkpoint.saved_spec import saved_spec
from mal.checkpoint.weights import read_weights
from tests.checkpoint.foreign_files import nvlabs_file, whole
from tests.small_networks import small_network, small_spec

SPEC = saved_spec(small_spec(), "conv")
formats = pytest.mark.parametrize("suffix", [".safetensors", ".pth"])


@pytest.fixture
def weights(tmp_path):
    tensors = whole(small_network("conv"))
    tensors |= {name: value + 1 for name, value in tensors.items() if name.startswith("teacher.")}
    return read_weights(nvlabs_file(tensors, tmp_path / "mal.ckpt"))


@formats
def test_every_tensor_survives(weights, tmp_path, suffix):
    write_converted(weights, SPEC, tmp_path / f"out{suffix}")
    read = read_weights(tmp_path / f"out{suffix}")
    assert read.tensors.keys() == weights.tensors.keys()
    assert all(torch.equal(value, weights.tensors[name]) for name, value in read.tensors.items())


@formats
def test_the_spec_and_the_place_in_training_travel_along(weights, tmp_path, suffix):
    write_converted(weights, SPEC, tmp_path / f"out{suffix}")
    read = read_weights(tmp_path / f"out{suffix}")
    assert (read.spec, read.epoch, read.global_step) == (SPEC, 9, 1234)
    assert read.place is None


@formats
@pytest.mark.parametrize("network", ["student", "teacher"])
def test_one_network_alone_keeps_its_name_and_answers_for_both(weights, tmp_path, suffix, network):
    write_converted(weights, SPEC, tmp_path / f"out{suffix}", networks=network)
    read = read_weights(tmp_path / f"out{suffix}")
    assert all(name.startswith(f"{network}.") for name in read.tensors)
    for asked in ("student", "teacher"):
        assert torch.equal(
            read.network(asked)["roi_head.mlp1.weight"], weights.network(network)["roi_head.mlp1.weight"]
        )


@formats
def test_half_precision_halves_the_file(weights, tmp_path, suffix):
    for name, half in (("half", True), ("full", False)):
        write_converted(weights, SPEC, tmp_path / f"{name}{suffix}", half=half)
    sizes = [(tmp_path / f"{name}{suffix}").stat().st_size for name in ("half", "full")]
    assert sizes[0] < 0.6 * sizes[1]
    values = read_weights(tmp_path / f"half{suffix}").tensors
    assert {value.dtype for value in values.values()} == {torch.float16}


def test_counters_of_batches_stay_whole_numbers(weights, tmp_path):
    weights.tensors["student.backbone.bn.num_batches_tracked"] = torch.tensor(70000)
    write_converted(weights, SPEC, tmp_path / "out.safetensors", networks="student", half=True)
    assert read_weights(tmp_path / "out.safetensors").tensors["student.backbone.bn.num_batches_tracked"] == 70000
