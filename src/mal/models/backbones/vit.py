"""Plain vision transformers under the five public names, with either stem."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from timm.layers.pos_embed import resample_abs_pos_embed
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from mal.errors import UserError
from mal.models.backbones.conv_stem import ConvStem

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


class VitBackbone(VisionTransformer):
    """A timm ViT that returns its patch tokens as a feature map.

    Args:
        size: width, heads, blocks, patch.
        stem: ``patch``, one strided convolution (MAE and DeiT releases), or ``conv``, four of them (NVlabs, TAO 5).
        num_blocks: use the first blocks only; None uses all.
        drop_path: stochastic depth rate of the last block, 0..1.

    Attributes:
        stride: pixels per token.
    """

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

        self._frozen: list[nn.Module] = []

    def freeze(self, stages: Iterable[int]) -> None:
        """Stop training some stages: no gradient, and eval mode for good.

        Args:
            stages: 0 for the patch embedding, 1..N for the blocks; -1 stands for none.

        Raises:
            UserError: there is no such stage.
        """
        all_stages = [self.patch_embed, *self.blocks]
        for stage in stages:
            if stage >= len(all_stages):
                raise UserError(f"model.frozen_stages: there is no stage {stage}; the last block is {len(self.blocks)}")
            if stage >= 0:
                self._frozen.append(all_stages[stage].requires_grad_(False).eval())

    def train(self, mode: bool = True) -> VitBackbone:
        """Switch to training mode, the frozen stages left out."""
        super().train(mode)
        for module in self._frozen:
            module.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Feature map of a batch.

        Args:
            images: (B, 3, H, W) float, normalised. A side that is no multiple of the stride is resized to the nearest.

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


def resize_to_multiple(images: Tensor, stride: int) -> Tensor:
    """Resize (B, C, H, W) bilinearly so that both sides are the nearest positive multiple of ``stride``."""
    size = [max(1, round(side / stride)) * stride for side in images.shape[-2:]]
    if size == list(images.shape[-2:]):
        return images
    return F.interpolate(images, size=size, mode="bilinear", align_corners=False)


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
