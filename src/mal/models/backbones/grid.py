"""The grid that a backbone divides its images into."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def resize_to_multiple(images: Tensor, stride: int) -> Tensor:
    """Resize (B, C, H, W) bilinearly so that both sides are the nearest positive multiple of ``stride``."""
    size = [max(1, round(side / stride)) * stride for side in images.shape[-2:]]
    if size == list(images.shape[-2:]):
        return images
    return F.interpolate(images, size=size, mode="bilinear", align_corners=False)
