"""FAN: names of all weights, features and logits, with the recipe's weights."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

from mal.models.backbones.fan import FAN_SIZES
from mal.models.backbones.registry import build_backbone
from mal.models.network import MaskNetwork
from tests.conformance.pack import (
    absolute,
    areas,
    assert_within,
    input_sizes,
    network_input,
    network_of,
    read_json,
    read_npz,
    sampled,
)

TINY, TINY_HYBRID, SMALL = "fan_tiny_12_p16_224", "fan_tiny_8_p4_hybrid", "fan_small_12_p16_224"
FEATURES_TOLERANCE, LOGITS_TOLERANCE = 2e-4, 1e-3


@pytest.mark.parametrize("arch", FAN_SIZES)
def test_weights_have_the_public_names_shapes_types_and_order(golden, arch):
    manifest = read_json(golden / "01_manifests" / f"{arch}.json")
    with torch.device("meta"):
        network = MaskNetwork(build_backbone(arch))
    own = {f"student.{name}": value for name, value in network.state_dict().items()}
    assert {name: list(value.shape) for name, value in own.items()} == manifest["state_dict"]
    assert list(own) == list(manifest["state_dict"])
    assert {name for name, value in own.items() if value.dtype != torch.float32} == {
        name for name in own if name.endswith("num_batches_tracked")
    }


@pytest.mark.parametrize("arch", [TINY, TINY_HYBRID, SMALL])
@torch.no_grad()
def test_the_position_code_is_that_of_the_public_code(golden, arch):
    arrays = read_npz(golden / f"08_backbone/{arch}.npz")
    for size in input_sizes(arrays, "pos_embed"):
        side = size // 16
        positions = _network(arch).backbone.pos_embed((side, side)).T.reshape(1, -1, side, side)
        difference = sampled(positions, arrays, f"in{size}_pos_embed_s")
        assert_within("backbone", f"{arch}, position code", difference, FEATURES_TOLERANCE)


@pytest.mark.parametrize("arch", [TINY, TINY_HYBRID, SMALL])
@torch.no_grad()
def test_features_are_those_of_the_public_code(cases, arch):
    arrays = cases.arrays(f"08_backbone/{arch}.npz")
    sizes = input_sizes(arrays, "spatial")
    assert sizes
    for size in sizes:
        features = _network(arch).backbone(network_input(arrays[f"in{size}_u8"]))
        difference = sampled(features, arrays, f"in{size}_spatial_s")
        assert_within("backbone", f"{arch}, features", difference, FEATURES_TOLERANCE)
        if f"in{size}_spatial" in arrays:
            difference = absolute(features, arrays[f"in{size}_spatial"])
            assert_within("backbone", f"{arch}, features", difference, FEATURES_TOLERANCE)


@dataclass(frozen=True)
class Student:
    """A network and the batch of its golden case."""

    arch: str
    network: MaskNetwork
    golden: dict[str, np.ndarray]
    images: Tensor
    box_area: Tensor


@pytest.fixture(scope="module", params=[TINY, TINY_HYBRID])
def student(cases, request) -> Student:
    golden = cases.arrays(f"09_student/{request.param}_256.npz")
    images = network_input(golden["image_u8"])[golden["image_index"]]
    return Student(request.param, _network(request.param), golden, images, areas(golden["bboxes"]))


@torch.no_grad()
def test_logits_are_those_of_the_public_code(student):
    logits = student.network(student.images, student.box_area)
    rows = np.flatnonzero(student.golden["bin"] >= 0)  # the public code gives zeros for a box on a bin's border
    assert len(rows) >= 7
    for row in rows:
        difference = sampled(logits[row], student.golden, f"seg{row}")
        assert_within("student", f"{student.arch}, logits", difference, LOGITS_TOLERANCE)
        if f"seg_full{row}" in student.golden:
            difference = absolute(logits[row], student.golden[f"seg_full{row}"])
            assert_within("student", f"{student.arch}, logits", difference, LOGITS_TOLERANCE)


@torch.no_grad()
def test_instance_vectors_are_those_of_the_public_code(student):
    vectors = student.network.roi_head(student.network.backbone(student.images[:3]))
    difference = sampled(vectors, student.golden, "roi_feat")
    assert_within("student", f"{student.arch}, vectors", difference, LOGITS_TOLERANCE)


@torch.no_grad()
def test_logits_of_the_single_scale_path_are_those_of_the_public_code(student, monkeypatch):
    monkeypatch.setattr(student.network, "adjust_scale", False)
    logits = student.network(student.images[:3], student.box_area[:3])
    assert list(logits.shape) == student.golden["noadjust_shape"].tolist()
    for row in range(3):
        difference = sampled(logits[row], student.golden, f"noadjust_seg{row}")
        assert_within("student", f"{student.arch}, single scale", difference, LOGITS_TOLERANCE)


@cache
def _network(arch: str) -> MaskNetwork:
    return network_of(arch)
