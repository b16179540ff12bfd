"""Resize, average and squash maps as PyTorch does, by NumPy."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

Maps = npt.NDArray[np.float32]


def area_means(maps: npt.NDArray[np.generic], side: int) -> Maps:
    """Average maps over the areas of a coarser grid: PyTorch's ``adaptive_avg_pool2d``, bit by bit.

    Args:
        maps: (..., H, W), any type of numbers.
        side: rows and columns of the result.

    Returns:
        (..., side, side) float32.
    """
    planes = maps.reshape(-1, *maps.shape[-2:])
    down, across = _Areas.over(planes.shape[1], side), _Areas.over(planes.shape[2], side)
    has_exact_sums = maps.dtype in (np.uint8, np.bool_) and down.most * across.most * 255 < _EXACT_IN_FLOAT32
    total = _whole_sums(planes, down, across) if has_exact_sums else _sums(planes.astype(np.float32), down, across)
    total /= down.lengths.astype(np.float32)[:, None]
    total /= across.lengths.astype(np.float32)
    return total.reshape(*maps.shape[:-2], side, side)


_EXACT_IN_FLOAT32 = 2**24  # whole numbers up to here, in whatever order they are added


@dataclass(frozen=True, slots=True)
class _Areas:
    """Areas of whole pixels along an axis that together cover it; they may overlap.

    Attributes:
        starts, lengths: (N,) int, of each area.
        most: the largest length.
        last: index of the axis' last pixel.
    """

    starts: npt.NDArray[np.intp]
    lengths: npt.NDArray[np.intp]
    most: int
    last: int

    @classmethod
    @cache
    def over(cls, size: int, count: int) -> _Areas:
        """``count`` areas over ``size`` pixels."""
        index = np.arange(count)
        starts = index * size // count
        lengths = -(-(index + 1) * size // count) - starts
        return cls(starts, lengths, int(lengths.max()), size - 1)

    def pixels(self, maps: npt.NDArray[Any], step: int, axis: int) -> npt.NDArray[Any]:
        """The pixel of each area that lies ``step`` behind its first one, and 0 where the area has ended before."""
        found = maps.take(np.minimum(self.starts + step, self.last), axis=axis)
        if step >= self.lengths.min():
            np.moveaxis(found, axis, -1)[..., step >= self.lengths] = 0
        return found


def _whole_sums(planes: npt.NDArray[Any], down: _Areas, across: _Areas) -> Maps:
    """Sums of bytes over areas, one axis after the other."""
    rows = down.pixels(planes, 0, 1).astype(np.int32)
    for step in range(1, down.most):
        rows += down.pixels(planes, step, 1)
    total = across.pixels(rows, 0, 2)
    for step in range(1, across.most):
        total += across.pixels(rows, step, 2)
    return total.astype(np.float32)


def _sums(planes: Maps, down: _Areas, across: _Areas) -> Maps:
    """Sums of floats over areas, in the order of an area's pixels, since floats add up differently in another."""
    total = np.zeros((len(planes), len(down.starts), len(across.starts)), np.float32)
    for step in range(down.most):
        rows = down.pixels(planes, step, 1)
        for inner in range(across.most):
            total += across.pixels(rows, inner, 2)
    return total


def resize_bilinear(maps: Maps, size: tuple[int, int]) -> Maps:
    """Resize maps (..., h, w) to (..., H, W), bilinear with pixel centers at halves (``align_corners=False``)."""
    if maps.shape[-2:] == size:
        return maps
    lower, upper, weight = _neighbors(maps.shape[-1], size[1])
    across = maps.take(lower, axis=-1) * (1 - weight) + maps.take(upper, axis=-1) * weight
    lower, upper, weight = _neighbors(maps.shape[-2], size[0])
    resized: Maps = across.take(lower, axis=-2) * (1 - weight)[:, None]
    resized += across.take(upper, axis=-2) * weight[:, None]
    return resized


def _neighbors(size: int, count: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.float32]]:
    """Two of ``size`` pixels for each of ``count`` new ones, and the weight of the second."""
    centers = (np.arange(count, dtype=np.float32) + np.float32(0.5)) * (np.float32(size) / np.float32(count))
    places = np.maximum(centers - np.float32(0.5), np.float32(0))
    lower = np.minimum(places.astype(np.intp), size - 1)
    return lower, np.minimum(lower + 1, size - 1), places - lower.astype(np.float32)


def sigmoid(logits: Maps) -> Maps:
    """1 / (1 + exp(-x)), float32."""
    with np.errstate(over="ignore"):  # to infinity, of which the inverse is 0
        return np.float32(1) / (np.float32(1) + np.exp(-logits))
