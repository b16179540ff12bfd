"""Names and shapes of all weights, so that public checkpoints fit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mal.models.backbones.registry import build_backbone
from mal.models.backbones.vit import VIT_SIZES
from mal.models.network import MaskNetwork
from tests.conformance.pack import STEMS, file_name, read_json
from tests.conformance.weights import weight_of


@pytest.mark.parametrize("stem", STEMS)
@pytest.mark.parametrize("arch", VIT_SIZES)
def test_weights_have_the_public_names_shapes_and_order(golden, arch, stem):
    manifest = read_json(golden / "01_manifests" / f"{file_name(arch, stem)}.json")
    with torch.device("meta"):
        network = MaskNetwork(build_backbone(arch, stem=stem))
    own = {f"student.{name}": value for name, value in network.state_dict().items()}
    assert {name: list(value.shape) for name, value in own.items()} == manifest["state_dict"]
    assert list(own) == list(manifest["state_dict"])
    assert {value.dtype for value in own.values()} == {torch.float32}


@pytest.mark.parametrize(
    ("key", "shape", "total"),
    [
        ("student.backbone.cls_token", (1, 1, 192), -0.3035121667344356),
        ("student.mask_head.convs.0.conv.weight", (256, 192, 3, 3), -4.6850989586789105),
    ],
)
def test_the_weight_recipe_gives_the_sums_that_the_pack_states(key, shape, total):
    assert weight_of(key, shape).astype(np.float64).sum() == pytest.approx(total, abs=1e-9)
