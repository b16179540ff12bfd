"""Refine a box's mask by graph cut, in the pixels of the photo that its crop shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from mal.masks.paste import PastedMask
from mal.ops.graph_cut import SMOOTHNESS, graph_cut

Mask = npt.NDArray[np.bool_]

SIDE = 128  # docs/quality.md: 192 finds no better masks, 64 somewhat worse ones


@dataclass(frozen=True, slots=True)
class CropPixels:
    """What the graph cut sees beside the probabilities.

    Attributes:
        image: (3, S, S) uint8, the crop.
        box_mask: (S, S) uint8, 1 where a mask may be, else 0.
    """

    image: npt.NDArray[np.uint8]
    box_mask: npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class CutWindow:
    """The part of a crop that lies in the image, in the pixels that are cut.

    They are the image's own, or fewer where the frame's longer side is above :data:`SIDE`: a small object's crop is
    enlarged, and enlarged pixels tell nothing more.

    Attributes:
        image: (h, w, 3) uint8.
        probability: (h, w) float32.
        inside: (h, w) bool, where the mask may be.
        part: x0, y0, x1, y1 of the window in pixels of the image, end exclusive.
        image_size: width and height of the image.
    """

    image: npt.NDArray[np.uint8]
    probability: npt.NDArray[np.float32]
    inside: Mask
    part: tuple[int, int, int, int]
    image_size: tuple[int, int]

    @classmethod
    def of(
        cls, prob: npt.NDArray[np.float32], pixels: CropPixels, frame: Sequence[int], image_size: tuple[int, int]
    ) -> CutWindow:
        """Of a crop; arguments as of :func:`graph_cut_mask`."""
        x0, y0, x1, y1 = frame
        part = max(x0, 0), max(y0, 0), min(x1, image_size[0]), min(y1, image_size[1])
        grid = _Grid.over(frame, part, len(prob))
        return cls(
            grid.sampled(pixels.image.transpose(1, 2, 0)),
            grid.sampled(prob),
            grid.sampled(pixels.box_mask.astype(np.float32)) > 0.5,
            part,
            image_size,
        )

    def cut(self, threshold: float, smoothness: float = SMOOTHNESS) -> Mask:
        """Refine what exceeds a threshold in 0..1, see :func:`mal.ops.graph_cut.graph_cut`; (h, w) bool."""
        return graph_cut(self.image, self.probability, self.inside, threshold=threshold, smoothness=smoothness)

    def pasted(self, mask: Mask) -> PastedMask:
        """A mask (h, w) of this window in the image, marked as refined."""
        left, top, right, bottom = self.part
        soft = Image.fromarray(mask.astype(np.float32)).resize((right - left, bottom - top), Image.Resampling.BILINEAR)
        width, height = self.image_size
        return PastedMask(np.asarray(soft) > 0.5, left, top, width, height, is_refined=True)


def graph_cut_mask(
    prob: npt.NDArray[np.float32],
    pixels: CropPixels,
    frame: Sequence[int],
    image_size: tuple[int, int],
    threshold: float,
) -> PastedMask:
    """As :func:`mal.masks.paste.paste_mask`, and refined by :func:`mal.ops.graph_cut.graph_cut`.

    Args:
        prob: (S, S) float32 in 0..1, 0 outside the box.
        pixels: of the same crop.
        frame, image_size, threshold: as of ``paste_mask``.
    """
    window = CutWindow.of(prob, pixels, frame, image_size)
    return window.pasted(window.cut(threshold))


@dataclass(frozen=True, slots=True)
class _Grid:
    """Pixels over a part of a crop.

    Attributes:
        size: columns and rows.
        part: x0, y0, x1, y1 in pixels of the crop.
        is_native: whether they are the pixels of the image.
    """

    size: tuple[int, int]
    part: tuple[float, float, float, float]
    is_native: bool

    @classmethod
    def over(cls, frame: Sequence[int], seen: Sequence[int], side: int) -> _Grid:
        """Over what is seen of a frame, both x0, y0, x1, y1 in pixels of the image, in a crop of ``side`` pixels."""
        x0, y0, x1, y1 = frame
        across, down = side / (x1 - x0), side / (y1 - y0)
        shrunk = min(1.0, min(SIDE, side) / max(x1 - x0, y1 - y0))
        size = max(round((seen[2] - seen[0]) * shrunk), 1), max(round((seen[3] - seen[1]) * shrunk), 1)
        left, top, right, bottom = (
            min((place - start) * scale, side)
            for place, start, scale in zip(seen, (x0, y0, x0, y0), (across, down, across, down), strict=True)
        )
        return cls(size, (left, top, right, bottom), is_native=shrunk == 1)

    def sampled(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Values of the crop, (S, S) float32 or (S, S, 3) uint8, at these pixels.

        An enlarged crop is read at the places of the image's pixels, where it still has their values; a mean over its
        pixels would mix them with their neighbors.
        """
        picture = Image.fromarray(values)
        if not self.is_native:
            return np.asarray(picture.resize(self.size, Image.Resampling.BILINEAR, self.part))
        left, top, right, bottom = self.part
        steps = ((right - left) / self.size[0], 0, left, 0, (bottom - top) / self.size[1], top)
        return np.asarray(picture.transform(self.size, Image.Transform.AFFINE, steps, Image.Resampling.BILINEAR))
