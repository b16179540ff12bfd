"""Features of the backbones, with the recipe's weights."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mal.models.backbones.vit import Stem, VitBackbone
from tests.conformance.pack import (
    STEMS,
    TINY,
    Recipe,
    absolute,
    assert_within,
    file_name,
    network_input,
    read_npz,
    sampled,
)

SECTION = "backbone"
BASE = "vit-mae-base/16"


@pytest.mark.parametrize("size", [64, 224, 256, 512])
@pytest.mark.parametrize("stem", STEMS)
def test_features_of_the_tiny_vit_are_those_of_the_public_code(public, recipe, stem, size):
    _check(public, recipe, TINY, stem, size)


@pytest.mark.parametrize("size", [224, pytest.param(512, marks=pytest.mark.slow)])
def test_features_of_the_base_vit_are_those_of_the_public_code(public, recipe, size):
    _check(public, recipe, BASE, "patch", size)


@torch.no_grad()
def _check(public: Path, recipe: Recipe, arch: str, stem: Stem, size: int) -> None:
    name = file_name(arch, stem)
    golden = read_npz(public / "08_backbone" / f"{name}.npz")
    backbone = _backbone(recipe, arch, stem)
    images = network_input(golden[f"in{size}_u8"])
    tokens, features = backbone.forward_features(images), backbone(images)
    assert_within(SECTION, f"{name}, position embedding", sampled(
        _position_embedding(backbone, size // 16), golden, f"in{size}_pos_embed_s"), 2e-4)  # fmt: skip
    assert_within(SECTION, f"{name}, tokens", sampled(tokens, golden, f"in{size}_tokens_s"), 2e-4)
    assert_within(SECTION, f"{name}, features", sampled(features, golden, f"in{size}_spatial_s"), 2e-4)
    if f"in{size}_spatial" in golden:
        assert_within(SECTION, f"{name}, tokens", absolute(tokens, golden[f"in{size}_tokens"]), 2e-4)
        assert_within(SECTION, f"{name}, features", absolute(features, golden[f"in{size}_spatial"]), 2e-4)


@cache
def _backbone(recipe: Recipe, arch: str, stem: Stem) -> VitBackbone:
    return recipe.network(arch, stem).backbone


def _position_embedding(backbone: VitBackbone, side: int) -> Tensor:
    """What the backbone adds to its tokens on a grid of side x side."""
    added = backbone._pos_embed(torch.zeros(1, side, side, backbone.embed_dim))
    added[:, :1] -= backbone.cls_token
    return added
