"""Fully attentional networks (FAN, ICML 2022, arXiv 2204.12451) under their eight public names."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mal.models.backbones.fan_blocks import NORM_EPS, ClassAttentionBlock, FanBlock, FanConvStem, FanHybridStem
from mal.models.backbones.freezing import FreezableBackbone
from mal.models.backbones.vit import resize_to_multiple

POSITION_CHANNELS = 32  # per axis
NUM_CLASSES = 1000  # of the classifier that releases hold


@dataclass(frozen=True, slots=True)
class FanSize:
    """Width, heads and blocks of a FAN; and the ConvNeXt blocks of a hybrid stem, None for the convolutional stem."""

    embed_dim: int
    num_heads: int
    depth: int
    hybrid_depths: tuple[int, int] | None = None


FAN_SIZES = {
    "fan_tiny_12_p16_224": FanSize(192, 4, 12),
    "fan_small_12_p16_224": FanSize(384, 8, 12),
    "fan_base_18_p16_224": FanSize(448, 8, 18),
    "fan_large_24_p16_224": FanSize(480, 10, 24),
    "fan_tiny_8_p4_hybrid": FanSize(192, 8, 8, (3, 3)),
    "fan_small_12_p4_hybrid": FanSize(384, 8, 10, (3, 3)),
    "fan_base_16_p4_hybrid": FanSize(448, 8, 16, (3, 3)),
    "fan_large_16_p4_hybrid": FanSize(480, 10, 22, (3, 5)),
}


class FanBackbone(FreezableBackbone):
    """A FAN that returns its patch tokens as a feature map.

    Args:
        size: width, heads, blocks, stem.
        num_blocks: use the first blocks only; None uses all. The two class-attention blocks follow in either case.
        drop_path: stochastic depth rate of the last block, 0..1.

    Attributes:
        embed_dim: channels of the feature map.
        stride: pixels per token.
        stem: None, since each variant comes with one stem only.
    """

    stride = 16
    stem = None

    def __init__(self, size: FanSize, *, num_blocks: int | None = None, drop_path: float = 0.0) -> None:
        super().__init__()
        width, depth = size.embed_dim, num_blocks or size.depth
        self.embed_dim = width
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.patch_embed = FanHybridStem(width, size.hybrid_depths) if size.hybrid_depths else FanConvStem(width)
        self.pos_embed = PositionCode(width)
        rates = [drop_path * index / max(1, depth - 1) for index in range(depth)]
        self.blocks = nn.ModuleList(FanBlock(width, size.num_heads, rate) for rate in rates)
        self.cls_attn_blocks = nn.ModuleList(ClassAttentionBlock(width) for _ in range(2))
        self.norm = nn.LayerNorm(width, eps=NORM_EPS)
        self.head = nn.Linear(width, NUM_CLASSES)
        self.apply(_initialize)
        # No feature depends on these two (see ClassAttentionBlock); they stay for the sake of the public layout.
        self.cls_token.requires_grad_(False)
        self.head.requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """Feature map of a batch.

        Args:
            images: (B, 3, H, W) float, normalized. A side that is no multiple of 16 is resized to the nearest.

        Returns:
            (B, C, h, w) float: patch tokens after the last norm.
        """
        images = resize_to_multiple(images, self.stride)
        # In this layout maps become tokens, and tokens maps, without a copy from here on.
        maps = self.patch_embed(images.contiguous(memory_format=torch.channels_last))
        grid = (maps.shape[-2], maps.shape[-1])
        tokens = maps.flatten(2).transpose(1, 2) + self.pos_embed(grid)
        for block in self.blocks:
            tokens = block(tokens, grid)
        for block in self.cls_attn_blocks:
            tokens = block(tokens)
        return self.norm(tokens).transpose(1, 2).unflatten(2, grid)


class PositionCode(nn.Module):
    """Sines and cosines of row and column, projected to the width of the tokens."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.token_projection = nn.Conv2d(2 * POSITION_CHANNELS, width, 1)

    def forward(self, grid: tuple[int, int]) -> Tensor:
        """The code of a grid of (h, w), (h * w, C)."""
        # The projection is linear and each half of its input belongs to one axis: rows and columns are projected
        # apart, h + w vectors in place of h * w, which leaves nothing worth keeping from one call to the next.
        row_weight, column_weight = self.token_projection.weight.flatten(1).chunk(2, dim=1)
        rows, columns = (_waves(side, row_weight.device) for side in grid)
        by_row = F.linear(rows, row_weight, self.token_projection.bias)
        return (by_row[:, None] + F.linear(columns, column_weight)).flatten(0, 1)


def _waves(side: int, device: torch.device) -> Tensor:
    """Sines and cosines in turn of the positions along one axis, (side, 32) float32."""
    positions = torch.arange(1, side + 1, device=device, dtype=torch.float32) * (2 * math.pi / (side + 1e-6))
    exponents = torch.arange(0, POSITION_CHANNELS, 2, device=device, dtype=torch.float32) / POSITION_CHANNELS
    angles = positions[:, None] / 10000**exponents
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)


def _initialize(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
