"""Plain vision transformers under their five public names, with a patch or a convolutional stem."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from timm.layers.pos_embed import resample_abs_pos_embed
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from mal.models.backbones.freezing import FreezableBackbone


def resize_to_multiple(images: Tensor, stride: int) -> Tensor:
    """Resize (B, C, H, W) bilinearly so that both sides are the nearest positive multiple of ``stride``."""
    return resize_to(images, [max(1, round(side / stride)) * stride for side in images.shape[-2:]])


def resize_to(images: Tensor, size: Sequence[int]) -> Tensor:
    """Resize (B, C, H, W) bilinearly to ``size``, height and width."""
    if list(size) == list(images.shape[-2:]):
        return images
    return F.interpolate(images, size=list(size), mode="bilinear", align_corners=False)


class ConvStem(nn.Module):
    """Four stride-2 convolutions: a quarter of the width per stage, stride 16 in all.

    It takes the arguments that timm hands to an ``embed_layer``; the patch size only decides the grid of the position
    embedding, because this stem's stride is always 16.
    """

    stride = 16

    def __init__(self, img_size: int, patch_size: int, in_chans: int, embed_dim: int, **_: Any) -> None:
        super().__init__()
        side = img_size // patch_size
        self.grid_size = (side, side)
        self.num_patches = side * side
        widths = [embed_dim // 8, embed_dim // 4, embed_dim // 2, embed_dim]
        stages = [_stage(c_in, c_out) for c_in, c_out in zip([in_chans, *widths], widths, strict=False)]
        stages[-1].append(nn.Conv2d(embed_dim, embed_dim, 1))
        self.proj = nn.Sequential(*stages)

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) to tokens on their grid, (B, H/16, W/16, C)."""
        return self.proj(images).permute(0, 2, 3, 1)


def _stage(c_in: int, c_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(c_in, c_out, 3, stride=2, padding=1, bias=False),
        nn.GroupNorm(1, c_out, eps=1e-6),
        nn.GELU(),
    )


Stem = Literal["patch", "conv"]


@dataclass(frozen=True, slots=True)
class VitSize:
    """Width, heads, blocks and patch side of a ViT; its position embedding belongs to a 224-pixel image."""

    embed_dim: int
    num_heads: int
    depth: int
    patch_size: int


VIT_SIZES = {
    "vit-deit-tiny/16": VitSize(192, 3, 12, 16),
    "vit-deit-small/16": VitSize(384, 6, 12, 16),
    "vit-mae-base/16": VitSize(768, 12, 12, 16),
    "vit-mae-large/16": VitSize(1024, 16, 24, 16),
    "vit-mae-huge/14": VitSize(1280, 16, 32, 14),
}


class VitBackbone(FreezableBackbone, VisionTransformer):
    """A timm ViT that returns its patch tokens as a feature map.

    Args:
        size: width, heads, blocks, patch.
        stem: ``patch``, one strided convolution (MAE and DeiT releases), or ``conv``, four of them (NVlabs, TAO 5).
        num_blocks: use the first blocks only; None uses all.
        drop_path: stochastic depth rate of the last block, 0..1.

    Attributes:
        stride: pixels per token.
    """

    forward_features: Callable[[Tensor], Tensor]
    pos_embed: Tensor
    cls_token: Tensor
    pos_drop: nn.Module
    embed_dim: int
    norm_pre: nn.Module
    norm: nn.Module

    def __init__(
        self, size: VitSize, *, stem: Stem = "patch", num_blocks: int | None = None, drop_path: float = 0.0
    ) -> None:
        layers = {"embed_layer": ConvStem} if stem == "conv" else {}
        super().__init__(
            img_size=224,
            patch_size=size.patch_size,
            embed_dim=size.embed_dim,
            depth=num_blocks or size.depth,
            num_heads=size.num_heads,
            num_classes=1000 if stem == "patch" else 0,
            drop_path_rate=drop_path,
            dynamic_img_size=True,
            **layers,
        )
        self.stem = stem
        self.stride = ConvStem.stride if stem == "conv" else size.patch_size
        # Files of the patch generation hold a classifier that nothing uses; it stays for the sake of their layout.
        self.head.requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """Feature map of a batch.

        Args:
            images: (B, 3, H, W) float, normalized. A side that is no multiple of the stride is resized to the nearest.

        Returns:
            (B, C, h, w) float: patch tokens after the last norm.
        """
        images = resize_to_multiple(images, self.stride)
        height, width = (side // self.stride for side in images.shape[-2:])
        tokens = self.forward_features(images)[:, self.num_prefix_tokens :]
        return tokens.transpose(1, 2).unflatten(2, (height, width))

    def _pos_embed(self, x: Tensor) -> Tensor:
        grid = list(x.shape[1:3])
        resample = _resample_by_scale_factor if self.stem == "conv" else _resample_to_size
        pos_embed = resample(self.pos_embed, grid, list(self.patch_embed.grid_size))
        tokens = torch.cat([self.cls_token.expand(len(x), -1, -1), x.flatten(1, 2)], dim=1)
        return self.pos_drop(tokens + pos_embed)


def _resample_to_size(pos_embed: Tensor, grid: list[int], trained_grid: list[int]) -> Tensor:
    return resample_abs_pos_embed(pos_embed, new_size=grid, old_size=trained_grid, num_prefix_tokens=1)


def _resample_by_scale_factor(pos_embed: Tensor, grid: list[int], trained_grid: list[int]) -> Tensor:
    """The interpolation of conv-stem checkpoints: by a factor a little above the exact one, without antialiasing."""
    if grid == trained_grid:
        return pos_embed
    class_part, grid_part = pos_embed[:, :1], pos_embed[:, 1:]
    maps = grid_part.unflatten(1, trained_grid).permute(0, 3, 1, 2)
    factors = [(side + 0.1) / trained for side, trained in zip(grid, trained_grid, strict=True)]
    maps = F.interpolate(maps.float(), scale_factor=factors, mode="bicubic", align_corners=False)
    return torch.cat([class_part, maps.to(pos_embed.dtype).flatten(2).transpose(1, 2)], dim=1)
