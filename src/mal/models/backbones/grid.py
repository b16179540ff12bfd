"""The grid that a backbone divides its images into."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F


def resize_to_multiple(images: Tensor, stride: int) -> Tensor:
    """Resize (B, C, H, W) bilinearly so that both sides are the nearest positive multiple of ``stride``."""
    return resize_to(images, [max(1, round(side / stride)) * stride for side in images.shape[-2:]])


def resize_to(images: Tensor, size: Sequence[int]) -> Tensor:
    """Resize (B, C, H, W) bilinearly to ``size``, height and width."""
    if list(size) == list(images.shape[-2:]):
        return images
    return F.interpolate(images, size=list(size), mode="bilinear", align_corners=False)
