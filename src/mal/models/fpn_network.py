"""The mask network for backbones with strides: a feature pyramid with the box as an input, to logits at stride 4."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mal.data.box_input import INSIDE, OUTSIDE
from mal.models.backbones.timm_backbone import TimmPyramid
from mal.models.backbones.vit import resize_to
from mal.models.network import MaskNetwork

CHANNELS = 64
GROUPS = 8
GATE_CHANNELS = 256


class ConvNormRelu(nn.Sequential):
    """3 x 3 convolution, group norm, ReLU."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, 3, padding=1),
            nn.GroupNorm(GROUPS, out_channels),
            nn.ReLU(inplace=True),
        )


class FpnDecoder(nn.Module):
    """Feature pyramid (Lin et al., arXiv 1612.03144) whose finest map is gated by an instance vector.

    Args:
        in_channels: of the four feature maps, from fine to coarse.
    """

    def __init__(self, in_channels: Sequence[int]) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(channels, CHANNELS, 1) for channels in in_channels)
        self.smooth = nn.ModuleList(ConvNormRelu(CHANNELS, CHANNELS) for _ in in_channels)
        self.gate = nn.Sequential(
            nn.Linear(in_channels[-1], GATE_CHANNELS), nn.ReLU(inplace=True), nn.Linear(GATE_CHANNELS, CHANNELS)
        )
        self.mask = nn.Sequential(ConvNormRelu(CHANNELS + 1, CHANNELS), nn.Conv2d(CHANNELS, 1, 1))

    def forward(self, maps: Sequence[Tensor], box: Tensor) -> Tensor:
        """Mask logits.

        Args:
            maps: four maps (B, C, h, w) of strides 4, 8, 16 and 32, or on one grid, which counts as that of stride 16.
            box: (B, 1, S, S) float: 1 inside the box, -1 outside, 0 unknown.

        Returns:
            (B, 1, 4h, 4w) float, h x w the grid of the third map.
        """
        merged = self.pyramid(maps)[0] * (1 + self.instance_vectors(maps))[:, :, None, None]
        box = F.interpolate(box, size=merged.shape[-2:], mode="area").to(merged.dtype)
        return self.mask(torch.cat([merged, box], dim=1))

    def pyramid(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """The maps, each merged with all that are coarser: four of (B, 64, h, w), from fine to coarse."""
        merged = [self.smooth[-1](self._lateral(maps, -1))]
        for level in reversed(range(len(maps) - 1)):
            finer = self._lateral(maps, level)
            merged.insert(0, self.smooth[level](finer + resize_to(merged[0], finer.shape[-2:])))
        return merged

    def instance_vectors(self, maps: Sequence[Tensor]) -> Tensor:
        """(B, D) from the mean of the coarsest map."""
        return self.gate(maps[-1].mean((2, 3)))

    def _lateral(self, maps: Sequence[Tensor], level: int) -> Tensor:
        """A level's map in the channels and on the grid of the pyramid."""
        height, width = maps[2].shape[-2:]
        sizes = [(4 * height, 4 * width), (2 * height, 2 * width), (height, width), (-(-height // 2), -(-width // 2))]
        return resize_to(self.lateral[level](maps[level]), sizes[level])


class FpnNetwork(nn.Module):
    """Backbone and feature pyramid; the student, and the teacher too.

    Args:
        backbone: images to four feature maps.

    Attributes:
        takes_box: whether the box counts; a network without is given none.
    """

    takes_box = True

    def __init__(self, backbone: TimmPyramid) -> None:
        super().__init__()
        self.backbone = backbone
        self.fpn = FpnDecoder(backbone.channels)

    def forward(self, images: Tensor, box_area: Tensor, box: Tensor | None = None) -> Tensor:
        """Mask logits of each crop's object.

        Args:
            images: (B, 3, S, S) float, crops around boxes, normalized by ImageNet's mean and deviation.
            box_area: not used; boxes of all sizes are treated alike.
            box: (B, 1, S, S), 1 inside the box, 0 outside, 2 where it is not known; None if it is nowhere known.

        Returns:
            (B, 1, S/4, S/4) float logits; sides that are no multiple of the backbone's stride are rounded to one.
        """
        signed = images.new_zeros(len(images), 1, *images.shape[-2:]) if box is None else signed_box(box)
        return self.fpn(self.backbone(_channels_last(images)), signed)

    def instance_vectors(self, images: Tensor) -> Tensor:
        """Instance vectors (B, D) of crops as for :meth:`forward`."""
        return self.fpn.instance_vectors(self.backbone(_channels_last(images)))


def _channels_last(images: Tensor) -> Tensor:
    """The layout in which a training step takes a quarter less on a CPU.

    Weights keep theirs: it would save little more, and FSDP shards contiguous ones only.
    """
    return images.contiguous(memory_format=torch.channels_last)


def signed_box(box: Tensor) -> Tensor:
    """Box masks of 0 (outside), 1 (inside) and 2 (unknown) as float32 of -1, 1 and 0."""
    return (box == INSIDE).float() - (box == OUTSIDE).float()


AnyMaskNetwork = MaskNetwork | FpnNetwork
"""The networks that ``model.decoder`` chooses from; both are called with images, box areas and boxes."""
