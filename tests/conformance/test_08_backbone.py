"""Features of the backbones, with the recipe's weights."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

from mal.models.backbones.vit import Stem, VitBackbone
from tests.conformance.pack import (
    STEMS,
    TINY,
    absolute,
    assert_within,
    file_name,
    input_sizes,
    network_input,
    network_of,
    read_npz,
    sampled,
)

SECTION = "backbone"
BASE = "vit-mae-base/16"
TOLERANCE = 2e-4


@pytest.mark.parametrize(("arch", "stem"), [(TINY, "patch"), (TINY, "conv"), (BASE, "patch")])
@torch.no_grad()
def test_the_position_embedding_is_that_of_the_public_code(golden, arch, stem):
    name = file_name(arch, stem)
    arrays = read_npz(golden / f"08_backbone/{name}.npz")
    for size in input_sizes(arrays, "pos_embed"):
        added = _position_embedding(_backbone(arch, stem), size // 16)
        difference = sampled(added, arrays, f"in{size}_pos_embed_s")
        assert_within(SECTION, f"{name}, position embedding", difference, TOLERANCE)


@pytest.mark.parametrize("stem", STEMS)
def test_features_of_the_tiny_vit_are_those_of_the_public_code(cases, stem):
    arrays = cases.arrays(f"08_backbone/{file_name(TINY, stem)}.npz")
    sizes = input_sizes(arrays, "tokens")
    assert sizes
    for size in sizes:
        _check(arrays, TINY, stem, size)


@pytest.mark.parametrize("size", [224, pytest.param(512, marks=pytest.mark.slow)])
def test_features_of_the_base_vit_are_those_of_the_public_code(pack, size):
    _check(pack.arrays(f"08_backbone/{file_name(BASE, 'patch')}.npz"), BASE, "patch", size)


@torch.no_grad()
def _check(arrays: dict[str, np.ndarray], arch: str, stem: Stem, size: int) -> None:
    name, backbone = file_name(arch, stem), _backbone(arch, stem)
    images = network_input(arrays[f"in{size}_u8"])
    tokens, features = backbone.forward_features(images), backbone(images)
    assert_within(SECTION, f"{name}, tokens", sampled(tokens, arrays, f"in{size}_tokens_s"), TOLERANCE)
    assert_within(SECTION, f"{name}, features", sampled(features, arrays, f"in{size}_spatial_s"), TOLERANCE)
    if f"in{size}_spatial" in arrays:
        assert_within(SECTION, f"{name}, tokens", absolute(tokens, arrays[f"in{size}_tokens"]), TOLERANCE)
        assert_within(SECTION, f"{name}, features", absolute(features, arrays[f"in{size}_spatial"]), TOLERANCE)


@cache
def _backbone(arch: str, stem: Stem) -> VitBackbone:
    return network_of(arch, stem).backbone


def _position_embedding(backbone: VitBackbone, side: int) -> Tensor:
    """What the backbone adds to its tokens on a grid of side x side."""
    added = backbone._pos_embed(torch.zeros(1, side, side, backbone.embed_dim))
    added[:, :1] -= backbone.cls_token
    return added
