"""FAN backbones: their outline, what trains in them, and what they make of odd crops."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from mal.checkpoint.load import load_checkpoint
from mal.checkpoint.matching import load_matching
from mal.config.architectures import ARCHITECTURES
from mal.errors import UserError
from mal.models.backbones.fan import FAN_SIZES, FanBackbone, PositionCode
from mal.models.backbones.fan_blocks import ChannelNorm
from mal.models.backbones.registry import build_backbone
from mal.models.ema import make_teacher, update_teacher
from mal.models.network import MaskNetwork

CONV_STEM, HYBRID_STEM = "fan_tiny_12_p16_224", "fan_tiny_8_p4_hybrid"
CLASS_ONLY = (".attn.", ".mlp.", ".gamma2")  # of a class-attention block
both_stems = pytest.mark.parametrize("arch", [CONV_STEM, HYBRID_STEM])


def small_fan(arch: str = CONV_STEM, **options) -> FanBackbone:
    """A tiny FAN of two blocks, with the same random weights every time."""
    torch.manual_seed(0)
    return FanBackbone(FAN_SIZES[arch], **({"num_blocks": 2} | options))


def crops(height: int = 64, width: int = 64) -> torch.Tensor:
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("arch", FAN_SIZES)
def test_every_variant_has_the_outline_that_the_spec_promises(arch):
    with torch.device("meta"):
        backbone = build_backbone(arch)
        features = backbone(torch.empty(2, 3, 64, 96))
    assert features.shape == (2, backbone.embed_dim, 4, 6)
    assert len(backbone.blocks) == ARCHITECTURES[arch].depth
    assert backbone.stride == ARCHITECTURES[arch].patch_size
    assert backbone.stem is None


def test_the_spec_and_the_table_name_the_same_variants():
    assert set(FAN_SIZES) == {name for name, outline in ARCHITECTURES.items() if outline.family == "fan"}


@both_stems
@pytest.mark.parametrize(("size", "grid"), [((75, 90), (5, 6)), ((9, 17), (1, 1)), ((512, 128), (32, 8))])
def test_crops_of_any_size_get_the_nearest_grid(arch, size, grid):
    features = small_fan(arch, num_blocks=1).eval()(crops(*size))
    assert features.shape[-2:] == grid
    assert features.isfinite().all()


@both_stems
def test_a_gradient_reaches_everything_that_is_to_learn(arch):
    backbone = small_fan(arch)
    backbone(crops()).square().sum().backward()
    without = {name for name, weight in backbone.named_parameters() if weight.requires_grad and weight.grad is None}
    assert not without


def test_what_no_feature_depends_on_is_not_trained():
    backbone = small_fan()
    untrained = {name for name, weight in backbone.named_parameters() if not weight.requires_grad}
    assert untrained == {
        name
        for name, _ in backbone.named_parameters()
        if name.startswith(("cls_token", "head.")) or ("cls_attn" in name and any(part in name for part in CLASS_ONLY))
    }
    before = backbone.eval()(crops())
    for name, weight in backbone.named_parameters():
        if name in untrained:
            nn.init.normal_(weight)
    assert torch.equal(backbone(crops()), before)


def test_frozen_stages_keep_weights_statistics_and_eval_mode():
    backbone = small_fan()
    backbone.freeze([0, 2, -1])
    backbone.train()
    frozen, learning = [backbone.patch_embed, backbone.blocks[1]], backbone.blocks[0]
    before = copy.deepcopy([dict(module.named_buffers()) for module in [*frozen, learning]])
    backbone(crops())
    after = [dict(module.named_buffers()) for module in [*frozen, learning]]
    moved = [any(not torch.equal(old[name], new[name]) for name in old) for old, new in zip(before, after, strict=True)]
    assert moved == [False, False, True]
    assert not any(weight.requires_grad for module in frozen for weight in module.parameters())
    assert not any(part.training for module in frozen for part in module.modules())
    assert learning.training


def test_a_copy_of_a_backbone_keeps_its_own_stages_frozen():
    backbone = small_fan()
    backbone.freeze([1])
    twin = copy.deepcopy(backbone).train()
    assert [block.training for block in twin.blocks] == [False, True]


def test_a_stage_that_does_not_exist_is_reported():
    with pytest.raises(UserError, match="no stage 3; the last block is 2"):
        small_fan().freeze([3])


def test_more_blocks_than_there_are_is_reported():
    with pytest.raises(UserError, match="9 is more than the 8 blocks of fan_tiny_8_p4_hybrid"):
        build_backbone(HYBRID_STEM, num_blocks=9)


def test_the_first_blocks_are_those_of_the_whole_network():
    with torch.device("meta"):
        whole, short = (FanBackbone(FAN_SIZES[CONV_STEM], num_blocks=count) for count in (None, 3))
    dropped = set(whole.state_dict()) - set(short.state_dict())
    assert set(short.state_dict()) < set(whole.state_dict())
    assert {name.split(".")[1] for name in dropped} == {str(index) for index in range(3, 12)}


def test_branches_are_dropped_in_training_only():
    plain, dropping = (small_fan(drop_path=rate).eval() for rate in (0.0, 0.5))
    assert torch.equal(plain(crops()), dropping(crops()))
    dropping.train()
    first, second = (dropping(crops()) for _ in range(2))
    assert not torch.allclose(first, second)


def test_the_teacher_follows_the_students_statistics():
    student = small_fan()
    teacher = make_teacher(student)
    student(crops())
    update_teacher(teacher, student, momentum=1.0)
    student.eval()
    assert torch.equal(teacher(crops()), student(crops()))


@both_stems
def test_half_precision_stays_close_to_full_precision(arch):
    backbone = small_fan(arch).eval()
    with torch.no_grad():
        full = backbone(crops())
        with torch.autocast("cpu", torch.bfloat16):
            half = backbone(crops())
    assert (half - full).abs().max() < 0.05  # features have unit variance


def test_a_crop_of_the_batch_does_not_depend_on_the_others():
    backbone = small_fan().eval()
    with torch.no_grad():
        torch.testing.assert_close(backbone(crops())[1:], backbone(crops()[1:]), atol=1e-5, rtol=0)


@pytest.mark.parametrize("unbiased", [False, True])
def test_the_channel_norm_divides_by_the_variance_it_names(unbiased):
    norm = ChannelNorm(6, unbiased=unbiased)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    maps = torch.randn(2, 6, 3, 4)
    variance = maps.var(dim=1, correction=int(unbiased), keepdim=True)
    normed = (maps - maps.mean(1, keepdim=True)) / (variance + 1e-6).sqrt()
    expected = normed * norm.weight[:, None, None] + norm.bias[:, None, None]
    torch.testing.assert_close(norm(maps), expected)


def test_the_position_code_is_the_projection_of_sines_and_cosines_of_row_and_column():
    height, width = 3, 5
    code = PositionCode(8)
    period = 10000 ** (2 * (torch.arange(32) // 2) / 32)
    angles = [torch.arange(1, side + 1)[:, None] / (side + 1e-6) * 2 * torch.pi / period for side in (height, width)]
    rows, columns = (torch.where(torch.arange(32) % 2 == 0, angle.sin(), angle.cos()) for angle in angles)
    waves = torch.cat([rows[:, None].expand(-1, width, -1), columns[None].expand(height, -1, -1)], dim=-1)
    expected = code.token_projection(waves.permute(2, 0, 1)[None])
    torch.testing.assert_close(code((height, width)), expected[0].flatten(1).T, atol=1e-6, rtol=0)


@pytest.mark.parametrize("prefix", ["", "backbone."])
def test_a_released_backbone_fits_with_or_without_a_prefix_and_whatever_its_classifier(tmp_path, prefix):
    released = small_fan(HYBRID_STEM).state_dict() | {"head.weight": torch.ones(5, 192), "head.bias": torch.ones(5)}
    path = tmp_path / "released.pth"
    torch.save({"state_dict": {prefix + name: value for name, value in released.items()}}, path)
    network = MaskNetwork(FanBackbone(FAN_SIZES[HYBRID_STEM], num_blocks=2))
    report = load_matching(network, load_checkpoint(path).student, path)
    assert {name.split(".")[0] for name in report.missing} == {"roi_head", "mask_head"}
    assert report.unexpected == [], "a classifier is nothing that one would expect"
    network.eval()
    assert torch.equal(network.backbone(crops()), small_fan(HYBRID_STEM).eval()(crops()))
