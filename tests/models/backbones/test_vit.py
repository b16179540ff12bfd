from __future__ import annotations

import pytest
import torch

from mal.errors import UserError
from mal.models.backbones.registry import build_backbone
from tests.small_networks import small_backbone, small_network


def features(backbone, side: int) -> torch.Tensor:
    with torch.no_grad():
        return backbone.eval()(torch.rand(1, 3, side, side))


@pytest.mark.parametrize("stem", ["patch", "conv"])
@pytest.mark.parametrize(("side", "cells"), [(64, 4), (224, 14), (70, 4), (75, 5), (5, 1)])
def test_a_side_that_is_no_multiple_of_the_patch_goes_to_the_nearest(stem, side, cells):
    assert features(small_backbone(stem=stem), side).shape == (1, 192, cells, cells)


@pytest.mark.parametrize("stem", ["patch", "conv"])
def test_crops_need_not_be_square(stem):
    with torch.no_grad():
        assert small_backbone(stem=stem).eval()(torch.rand(1, 3, 32, 64)).shape == (1, 192, 2, 4)


def test_vit_huge_takes_crops_of_512_though_14_does_not_divide_them():
    backbone = build_backbone("vit-mae-huge/14", num_blocks=1)
    assert backbone.stride == 14
    assert features(backbone, 512).shape == (1, 1280, 37, 37)


@pytest.mark.parametrize(
    ("arch", "width"),
    [("vit-deit-tiny/16", 192), ("vit-deit-small/16", 384), ("vit-mae-base/16", 768), ("vit-mae-large/16", 1024)],
)
@pytest.mark.parametrize("stem", ["patch", "conv"])
def test_every_name_is_built_with_its_width(arch, width, stem):
    backbone = build_backbone(arch, num_blocks=1, stem=stem)
    assert backbone.embed_dim == width
    assert len(backbone.blocks) == 1


def test_the_conv_stem_has_the_public_key_names():
    names = {name for name in small_backbone(stem="conv").state_dict() if name.startswith("patch_embed")}
    stages = {f"patch_embed.proj.{stage}.{part}" for stage in range(4) for part in ("0.weight", "1.weight", "1.bias")}
    assert names == stages | {"patch_embed.proj.3.3.weight", "patch_embed.proj.3.3.bias"}


def test_more_blocks_than_there_are_is_a_mistake():
    with pytest.raises(UserError, match=r"model\.num_blocks: 13 is more than the 12"):
        small_backbone(num_blocks=13)


@pytest.mark.parametrize(
    ("stages", "frozen"),
    [([0], {"patch_embed"}), ([1], {"blocks.0"}), ([0, 2], {"patch_embed", "blocks.1"}), ([-1], set())],
)
def test_frozen_stages_take_no_gradient_and_stay_in_eval_mode(stages, frozen):
    backbone = small_network(frozen_stages=stages, num_blocks=2).backbone
    backbone.train()
    modules = {"patch_embed": backbone.patch_embed, "blocks.0": backbone.blocks[0], "blocks.1": backbone.blocks[1]}
    for name, module in modules.items():
        assert module.training == (name not in frozen)
        assert all(parameter.requires_grad == (name not in frozen) for parameter in module.parameters())


def test_a_frozen_stage_that_is_not_there_is_a_mistake():
    with pytest.raises(UserError, match=r"model\.frozen_stages: .*2"):
        small_network(frozen_stages=[2])
