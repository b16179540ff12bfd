"""A network that looks at a whole photo once and at each box by RoIAlign, made of the starter; for one_pass.py."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import roi_align

from mal.models.fpn_network import CHANNELS, GROUPS, ConvNormRelu, FpnDecoder, FpnNetwork

STRIDES = (4, 8, 16)
COARSEST_STRIDE = 32
COLORS = 3
FINE_CHANNELS = 16


class OnePassNetwork(nn.Module):
    """Backbone and pyramid of the starter on a whole photo, and a mask head for each box.

    Args:
        starter: its weights are copied; what the head has beyond it adds nothing at first.
        cells: side of the grid that a box's frame is sampled on.
        blocks: residual convolutions of the head.
    """

    def __init__(self, starter: FpnNetwork, cells: int = 28, blocks: int = 2) -> None:
        super().__init__()
        self.backbone = copy.deepcopy(starter.backbone)
        self.fpn = copy.deepcopy(starter.fpn)
        self.head = RoiMaskHead(self.fpn, blocks)
        self.cells = cells

    def forward(self, photo: Tensor, frames: Tensor, boxes: Tensor) -> Tensor:
        """Mask logits of all boxes of a photo.

        Args:
            photo: (1, 3, H, W) float, normalized, sides that are multiples of 32.
            frames: (N, 4) float, around the boxes, x0 y0 x1 y1 in pixels of this photo.
            boxes: (N, 4) float, likewise.

        Returns:
            (N, 1, 2c, 2c) float over the frames, c the number of cells.
        """
        return self.of_boxes(photo, self.pyramid(photo), frames, boxes)

    def pyramid(self, photo: Tensor) -> list[Tensor]:
        """Merged maps of strides 4, 8 and 16, and the backbone's map of stride 32."""
        maps = self.backbone(photo.contiguous(memory_format=torch.channels_last))
        return [*self.fpn.pyramid(maps)[:-1], maps[-1]]

    def of_boxes(self, photo: Tensor, pyramid: Sequence[Tensor], frames: Tensor, boxes: Tensor) -> Tensor:
        """As :meth:`forward`, from the photo's maps: each box from the one with cells nearest to its own."""
        box = signed_boxes(frames, boxes, 2 * self.cells)
        levels = self.levels(frames)
        rows = [torch.nonzero(levels == level).flatten() for level in range(len(STRIDES))]
        parts = [
            self.of_level(photo, features, stride, pyramid[-1], frames[of_level], box[of_level])
            for features, stride, of_level in zip(pyramid[:-1], STRIDES, rows, strict=True)
            if len(of_level)
        ]
        return torch.cat(parts)[torch.cat(rows).argsort()]

    def levels(self, frames: Tensor) -> Tensor:
        """(N,) float: 0, 1 or 2, the maps for frames (N, 4)."""
        sides = ((frames[:, 2] - frames[:, 0]) * (frames[:, 3] - frames[:, 1])).sqrt() / self.cells
        return (sides / STRIDES[0]).log2().round().clamp(0, len(STRIDES) - 1)

    def of_level(
        self, photo: Tensor, features: Tensor, stride: int, coarsest: Tensor, frames: Tensor, box: Tensor
    ) -> Tensor:
        """Logits of boxes from one map (1, 64, h, w) of a stride; box is signed, (N, 1, 2c, 2c)."""
        means = _sampled(coarsest, frames, 4, COARSEST_STRIDE).mean((2, 3))
        gated = _sampled(features, frames, self.cells, stride) * (1 + self.fpn.gate(means))[:, :, None, None]
        return self.head(gated, _sampled(photo, frames, 2 * self.cells, 1, samples=2), box)


class RoiMaskHead(nn.Module):
    """The starter's mask head with residual convolutions in it, and a finer correction by the photo's colors."""

    def __init__(self, fpn: FpnDecoder, blocks: int) -> None:
        super().__init__()
        first, self.last = copy.deepcopy(fpn.mask)
        self.first = _with_more_inputs(cast(ConvNormRelu, first), COLORS)
        self.blocks = nn.ModuleList(ResidualConv() for _ in range(blocks))
        self.narrow = nn.Conv2d(CHANNELS, FINE_CHANNELS, 1)
        self.fine = nn.Sequential(
            nn.Conv2d(FINE_CHANNELS + 1 + COLORS + 1, FINE_CHANNELS, 3, padding=1),
            nn.ReLU(inplace=True),
            zeroed(nn.Conv2d(FINE_CHANNELS, 1, 3, padding=1)),
        )

    def forward(self, features: Tensor, colors: Tensor, box: Tensor) -> Tensor:
        """Features (N, 64, c, c), colors (N, 3, 2c, 2c) and signed box (N, 1, 2c, 2c) to logits (N, 1, 2c, 2c)."""
        x = self.first(torch.cat([features, F.avg_pool2d(box, 2), F.avg_pool2d(colors, 2)], dim=1))
        for block in self.blocks:
            x = block(x)
        coarse = torch.cat([self.last(x), self.narrow(x)], dim=1)
        enlarged = F.interpolate(coarse, scale_factor=2.0, mode="bilinear", align_corners=False)
        return enlarged[:, :1] + self.fine(torch.cat([enlarged, colors, box], dim=1))


class ResidualConv(nn.Module):
    """3 x 3 convolution and group norm, added; nothing at first."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)
        self.norm = zeroed(nn.GroupNorm(GROUPS, CHANNELS))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.norm(self.conv(x)))


def zeroed(layer: nn.Module) -> nn.Module:
    """The layer with weights and biases of zero."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def _with_more_inputs(block: ConvNormRelu, count: int) -> ConvNormRelu:
    """The block with more channels to read, which it ignores at first."""
    old = cast(nn.Conv2d, block[0])
    more = nn.Conv2d(old.in_channels + count, old.out_channels, 3, padding=1)
    nn.init.zeros_(more.weight)
    more.weight.data[:, : old.in_channels] = old.weight.data
    more.bias = old.bias
    block[0] = more
    return block


def _sampled(features: Tensor, frames: Tensor, cells: int, stride: int, samples: int = 1) -> Tensor:
    """(N, C, cells, cells) of a map (1, C, h, w)."""
    return roi_align(features, [frames], cells, spatial_scale=1 / stride, sampling_ratio=samples, aligned=True)


def signed_boxes(frames: Tensor, boxes: Tensor, cells: int) -> Tensor:
    """(N, 1, cells, cells) float: 1 where a cell of the frame lies in the box, -1 outside, between on its border."""
    rows, columns = (_covered(frames[:, axis::2], boxes[:, axis::2], cells) for axis in (1, 0))
    return 2 * (rows[:, :, None] * columns[:, None])[:, None] - 1


def _covered(frame: Tensor, box: Tensor, cells: int) -> Tensor:
    """(N, cells): the share of each cell that the box covers, along one axis."""
    edges = frame[:, :1] + (frame[:, 1:] - frame[:, :1]) * torch.linspace(0, 1, cells + 1)
    inside = edges.clamp(box[:, :1], box[:, 1:])
    return inside.diff() / edges.diff()


def photo_size(width: int, height: int, longer_side: float) -> tuple[int, int]:
    """Width and height of a photo in pixels for the network: multiples of 32, near a longer side."""
    scale = longer_side / max(width, height)
    across, down = (max(COARSEST_STRIDE, round(scale * side / 32) * COARSEST_STRIDE) for side in (width, height))
    return across, down


def scaled(boxes: np.ndarray, old: tuple[int, int], new: tuple[int, int]) -> Tensor:
    """Boxes (N, 4) of a photo in pixels of the photo at another width and height."""
    factors = np.array([new[0] / old[0], new[1] / old[1]] * 2)
    return torch.from_numpy((boxes * factors).astype(np.float32))
