"""From the name of an architecture to its backbone."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from mal.errors import UserError
from mal.models.backbones.vit import VIT_SIZES, Stem, VitBackbone


class Backbone(Protocol):
    """What the heads need of a backbone.

    Attributes:
        embed_dim: channels of the feature map.
        stride: pixels per cell of the feature map.
        stem: how patches become tokens; saved with a checkpoint.
    """

    embed_dim: int
    stride: int
    stem: Stem

    def __call__(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) to features (B, embed_dim, H/stride, W/stride)."""
        ...


def build_backbone(
    arch: str, *, stem: Stem = "patch", num_blocks: int | None = None, drop_path: float = 0.0
) -> VitBackbone:
    """Make the backbone that ``model.arch`` names, with random weights.

    Raises:
        UserError: no such architecture here, or fewer blocks in it than asked for.
    """
    if arch not in VIT_SIZES:
        raise UserError(f"model.arch: {arch} cannot be built in this version; choose one of {', '.join(VIT_SIZES)}")
    size = VIT_SIZES[arch]
    if num_blocks is not None and num_blocks > size.depth:
        raise UserError(f"model.num_blocks: {num_blocks} is more than the {size.depth} blocks of {arch}")
    return VitBackbone(size, stem=stem, num_blocks=num_blocks, drop_path=drop_path)
