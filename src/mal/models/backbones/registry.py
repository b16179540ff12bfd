"""Build a backbone by the name of its architecture."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from mal.config.architectures import ARCHITECTURES, TIMM_PREFIX
from mal.errors import UserError
from mal.models.backbones.fan import FAN_SIZES, FanBackbone, FanSize
from mal.models.backbones.timm_backbone import TimmBackbone, TimmPyramid
from mal.models.backbones.vit import VIT_SIZES, Stem, VitBackbone, VitSize


class Backbone(Protocol):
    """Interface of a backbone, as the heads use it.

    Attributes:
        embed_dim: channels of the feature map.
        stride: pixels per cell of the feature map.
        stem: how patches become tokens, saved with a checkpoint; None where the architecture's name leaves no choice.
    """

    embed_dim: int
    stride: int

    @property
    def stem(self) -> Stem | None: ...

    def __call__(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) to features (B, embed_dim, H/stride, W/stride)."""
        ...


def build_backbone(
    arch: str, *, stem: Stem = "patch", num_blocks: int | None = None, drop_path: float = 0.0
) -> VitBackbone | FanBackbone | TimmBackbone:
    """Make the backbone that ``model.arch`` names, with random weights.

    Args:
        arch: the name; ``timm/`` and timm's name for any backbone of that library.
        stem: of a ViT; a FAN has its own, given by its name.
        num_blocks: use the first blocks only; None uses all.
        drop_path: stochastic depth rate of the last block, 0..1.

    Raises:
        UserError: no such architecture here, or fewer blocks in it than asked for.
    """
    if arch.startswith(TIMM_PREFIX):
        return TimmBackbone(arch.removeprefix(TIMM_PREFIX), num_blocks=num_blocks, drop_path=drop_path)
    sizes: dict[str, VitSize | FanSize] = {**VIT_SIZES, **FAN_SIZES}
    if arch not in sizes:
        raise UserError(f"model.arch: {arch} is not a known backbone; choose one of {', '.join(sizes)}")
    depth = sizes[arch].depth
    if num_blocks is not None and num_blocks > depth:
        raise UserError(f"model.num_blocks: {num_blocks} is more than the {depth} blocks of {arch}")
    if arch in FAN_SIZES:
        return FanBackbone(FAN_SIZES[arch], num_blocks=num_blocks, drop_path=drop_path)
    return VitBackbone(VIT_SIZES[arch], stem=stem, num_blocks=num_blocks, drop_path=drop_path)


def build_pyramid(arch: str, *, num_blocks: int | None = None, drop_path: float = 0.0) -> TimmPyramid:
    """Make the backbone that ``model.arch`` names for a decoder of several feature maps; arguments as above.

    Raises:
        UserError: as above, or it is none of timm.
    """
    if arch.startswith(TIMM_PREFIX):
        return TimmPyramid(arch.removeprefix(TIMM_PREFIX), num_blocks=num_blocks, drop_path=drop_path)
    hub_name = ARCHITECTURES[arch].hub_name if arch in ARCHITECTURES else None
    same = f" (the same network is {TIMM_PREFIX}{hub_name})" if hub_name else ""
    raise UserError(
        f"model.decoder: fpn takes backbones of timm only, not {arch}{same}: those with strides, as"
        f" timm/tf_efficientnet_lite0, timm/convnext_tiny or timm/resnet50, and plain transformers"
    )
