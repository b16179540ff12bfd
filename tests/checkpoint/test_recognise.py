from __future__ import annotations

import json

import pytest
import torch

from mal.checkpoint.recognise import recognised_arch, recognised_model
from mal.config.architectures import ARCHITECTURES
from mal.models.backbones.registry import build_backbone
from mal.models.network import MaskNetwork
from tests.conformance.extract import GOLDEN
from tests.small_networks import small_network


def meta_network(arch: str, stem: str = "patch", **heads) -> dict[str, torch.Tensor]:
    with torch.device("meta"):
        return MaskNetwork(build_backbone(arch, stem=stem), **heads).state_dict()


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_every_architecture_is_told_by_its_shapes(arch):
    recognised = recognised_model(meta_network(arch))
    stem = {"stem": "patch"} if arch.startswith("vit-") else {}
    assert recognised == {
        "arch": arch,
        "num_blocks": None,
        "mask_head_num_convs": 4,
        "mask_head_hidden_channel": 256,
        "mask_head_out_channel": 256,
        **stem,
    }


@pytest.mark.parametrize("arch", [name for name in ARCHITECTURES if name.startswith("vit-")])
def test_the_conv_stem_is_told(arch):
    assert recognised_model(meta_network(arch, "conv")).items() >= {"arch": arch, "stem": "conv"}.items()


def test_every_manifest_of_the_public_programs_is_recognised():
    paths = sorted((GOLDEN / "01_manifests").glob("*.json"))
    assert len(paths) == 18
    for path in paths:
        manifest = json.loads(path.read_text())
        tensors = {
            name.removeprefix("student."): torch.empty(shape, device="meta")
            for name, shape in manifest["state_dict"].items()
        }
        assert recognised_model(tensors)["arch"] == manifest["arch"], path.name


def test_blocks_and_heads_are_counted():
    tensors = small_network(num_blocks=3, mask_head_num_convs=2, mask_head_out_channel=5).state_dict()
    assert recognised_model(tensors) == {
        "arch": "vit-deit-tiny/16",
        "stem": "patch",
        "num_blocks": 3,
        "mask_head_num_convs": 2,
        "mask_head_hidden_channel": 8,
        "mask_head_out_channel": 5,
    }


def test_a_single_convolution_has_no_hidden_width():
    assert "mask_head_hidden_channel" not in recognised_model(small_network(mask_head_num_convs=1).state_dict())


@pytest.mark.parametrize(
    "change",
    [
        {"backbone.cls_token": torch.zeros(1, 1, 100)},
        {"backbone.blocks.12.norm1.weight": torch.zeros(192)},
        {"backbone.patch_embed.proj.weight": torch.zeros(192, 3, 8, 8)},
        {"backbone.blocks.0.ls1.gamma": torch.zeros(192)},
    ],
    ids=["width", "depth", "patch", "scaled branches"],
)
def test_a_backbone_that_has_no_name_is_not_recognised(change):
    assert recognised_model(small_network().state_dict() | change) == {}


def test_a_backbone_alone_tells_its_architecture_only():
    tensors = {name: value for name, value in small_network().state_dict().items() if name.startswith("backbone.")}
    assert recognised_arch(tensors) == "vit-deit-tiny/16"
    assert recognised_model(tensors) == {}


def test_tensors_of_something_else_are_not_recognised():
    assert recognised_arch({"fc.weight": torch.ones(2)}) is None
