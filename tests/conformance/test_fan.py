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
from tests.conformance.pack import Recipe, absolute, areas, assert_within, network_input, read_json, read_npz, sampled

TINY, TINY_HYBRID, SMALL = "fan_tiny_12_p16_224", "fan_tiny_8_p4_hybrid", "fan_small_12_p16_224"
FEATURE_CASES = [
    *[(TINY, size) for size in (64, 224, 256, 512)],
    *[(TINY_HYBRID, size) for size in (64, 256, 512)],
    (SMALL, 256),
]
CALLED = {"spatial": "features", "pos_embed": "position code"}
FEATURES_TOLERANCE, LOGITS_TOLERANCE = 2e-4, 1e-3


@pytest.mark.parametrize("arch", FAN_SIZES)
def test_weights_have_the_public_names_shapes_types_and_order(public, arch):
    manifest = read_json(public / "01_manifests" / f"{arch}.json")
    with torch.device("meta"):
        network = MaskNetwork(build_backbone(arch))
    own = {f"student.{name}": value for name, value in network.state_dict().items()}
    assert {name: list(value.shape) for name, value in own.items()} == manifest["state_dict"]
    assert list(own) == list(manifest["state_dict"])
    assert {name for name, value in own.items() if value.dtype != torch.float32} == {
        name for name in own if name.endswith("num_batches_tracked")
    }


@pytest.mark.parametrize(("arch", "size"), FEATURE_CASES)
@torch.no_grad()
def test_features_are_those_of_the_public_code(public, recipe, arch, size):
    golden = read_npz(public / "08_backbone" / f"{arch}.npz")
    backbone = _network(recipe, arch).backbone
    features = backbone(network_input(golden[f"in{size}_u8"]))
    positions = backbone.pos_embed((size // 16, size // 16)).T.reshape(1, -1, size // 16, size // 16)
    for name, value in (("spatial", features), ("pos_embed", positions)):
        difference = sampled(value, golden, f"in{size}_{name}_s")
        assert_within("backbone", f"{arch}, {CALLED[name]}", difference, FEATURES_TOLERANCE)
    if f"in{size}_spatial" in golden:
        difference = absolute(features, golden[f"in{size}_spatial"])
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
def student(public, recipe, request) -> Student:
    golden = read_npz(public / "09_student" / f"{request.param}_256.npz")
    images = network_input(golden["image_u8"])[golden["image_index"]]
    return Student(request.param, _network(recipe, request.param), golden, images, areas(golden["bboxes"]))


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
def _network(recipe: Recipe, arch: str) -> MaskNetwork:
    return recipe.network(arch, "patch")
