"""The convolutional stem of the published MAL checkpoints, in the place of a ViT's patch embedding."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


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
