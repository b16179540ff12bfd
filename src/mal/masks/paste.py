"""Paste a crop's probabilities into the full image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mal.masks.rle import Rle, rle_from_window
from mal.size_bins import size_bin

PIXELS_AT_ONCE = 2**16  # of float32: they stay in a core's cache


@dataclass(frozen=True, slots=True)
class PastedMask:
    """A mask as a window of its image.

    Attributes:
        window: (h, w) bool, the part of the crop's frame inside the image.
        x0: column of the image where the window starts.
        y0: row of the image where the window starts.
        image_width: width of the image in pixels.
        image_height: height of the image in pixels.
        score: expected IoU, 0..1, see :mod:`mal.masks.score`; None if not requested.
        is_refined: whether it is the work of a graph cut, see :mod:`mal.masks.refine`.
    """

    window: npt.NDArray[np.bool_]
    x0: int
    y0: int
    image_width: int
    image_height: int
    score: float | None = None
    is_refined: bool = False

    @property
    def place(self) -> tuple[slice, slice]:
        """The rows and columns of the image that the window covers."""
        height, width = self.window.shape
        return slice(self.y0, self.y0 + height), slice(self.x0, self.x0 + width)

    def rle(self) -> Rle:
        """The mask at full image size as compressed COCO RLE."""
        return rle_from_window(
            self.window, x0=self.x0, y0=self.y0, image_width=self.image_width, image_height=self.image_height
        )

    def full(self) -> npt.NDArray[np.bool_]:
        """The mask as an (H, W) bool array of the image's size."""
        mask = np.zeros((self.image_height, self.image_width), dtype=np.bool_)
        mask[self.place] = self.window
        return mask


def paste_mask(
    prob: npt.NDArray[np.float32], frame: Sequence[int], image_size: tuple[int, int], threshold: float
) -> PastedMask:
    """Resize a crop's probabilities to its frame, drop what falls outside the image, and threshold.

    The resize is bilinear with pixel centers at halves (``align_corners=False``). Only the part around the box is
    computed, some rows at a time, so that a mask on a large image takes little more memory than its window.

    Args:
        prob: (S, S) float32 in 0..1, 0 outside the box.
        frame: x0, y0, x1, y1 of the crop in pixels of the full image, end exclusive.
        image_size: width and height of the full image.
        threshold: a pixel is in the mask where its probability exceeds this; at least 0.
    """
    x0, y0, x1, y1 = frame
    width, height = image_size
    left, top, right, bottom = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
    window = np.zeros((bottom - top, right - left), dtype=np.bool_)
    rows = _Neighbors.along(np.flatnonzero(prob.any(axis=1)), len(prob), (y0, y1), (top, bottom))
    columns = _Neighbors.along(np.flatnonzero(prob.any(axis=0)), len(prob), (x0, x1), (left, right))
    if len(rows) and len(columns):
        _fill(window, prob, rows, columns, threshold)
    return PastedMask(window=window, x0=left, y0=top, image_width=width, image_height=height)


@dataclass(frozen=True, slots=True)
class _Neighbors:
    """Bilinear interpolation along one axis: crop pixels and weights for each window pixel, zeros left out.

    Attributes:
        start: the first such pixel of the window.
        lower, upper: (N,) int, pixels of the crop.
        weight: (N,) float32, of the upper one; that of the lower one is 1 less this.
    """

    start: int
    lower: npt.NDArray[np.intp]
    upper: npt.NDArray[np.intp]
    weight: npt.NDArray[np.float32]

    @classmethod
    def along(
        cls, filled: npt.NDArray[np.intp], size: int, frame: tuple[int, int], window: tuple[int, int]
    ) -> _Neighbors:
        """Compute them for ``size`` crop pixels, of which ``filled`` are not 0, resized to part of a frame."""
        scale = np.float32(size) / np.float32(frame[1] - frame[0])
        pixels = np.arange(window[0] - frame[0], window[1] - frame[0], dtype=np.float32)
        places = np.maximum(scale * (pixels + np.float32(0.5)) - np.float32(0.5), np.float32(0))
        lower = np.minimum(places.astype(np.intp), size - 1)
        upper = np.minimum(lower + 1, size - 1)
        first, last = (filled[0], filled[-1]) if len(filled) else (size, -1)
        start, stop = np.searchsorted(upper, first), np.searchsorted(lower, last, side="right")
        part = slice(start, max(start, stop))
        return cls(int(start), lower[part], upper[part], (places - lower.astype(np.float32))[part])

    def __len__(self) -> int:
        return len(self.weight)


def _fill(
    window: npt.NDArray[np.bool_],
    crop: npt.NDArray[np.float32],
    rows: _Neighbors,
    columns: _Neighbors,
    threshold: float,
) -> None:
    """Write the mask into the window."""
    across = crop.take(columns.lower, axis=1) * (1 - columns.weight) + crop.take(columns.upper, axis=1) * columns.weight
    height = max(1, PIXELS_AT_ONCE // len(columns))
    for start in range(0, len(rows), height):
        strip = slice(start, min(start + height, len(rows)))
        weight = rows.weight[strip, None]
        resized = across[rows.lower[strip]] * (1 - weight)
        resized += across[rows.upper[strip]] * weight
        mask = window[rows.start + strip.start : rows.start + strip.stop, columns.start :][:, : len(columns)]
        np.greater(resized, threshold, out=mask)


def threshold_for(box_area: float, thresholds: Sequence[float]) -> float:
    """The threshold of a box's size.

    Args:
        box_area: in pixels of the full image.
        thresholds: one for all boxes, or one each for small, medium and large ones.
    """
    if len(thresholds) == 1:
        return thresholds[0]
    return thresholds[size_bin(box_area)]
