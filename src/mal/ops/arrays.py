"""Resize, average and squash maps as PyTorch does, by NumPy."""

from __future__ import annotations

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
    planes = maps.reshape(-1, *maps.shape[-2:]).astype(np.float32)
    height, width = planes.shape[-2:]
    (top, heights), (left, widths) = _areas(height, side), _areas(width, side)
    total = np.zeros((len(planes), side, side), np.float32)
    # In the order of the pixels of an area, since floats add up differently in another.
    for down in range(heights.max()):
        rows = planes.take(np.minimum(top + down, height - 1), axis=1)
        for across in range(widths.max()):
            pixels = rows.take(np.minimum(left + across, width - 1), axis=2)
            total += np.where(np.logical_and.outer(down < heights, across < widths), pixels, np.float32(0))
    total /= heights.astype(np.float32)[:, None]
    total /= widths.astype(np.float32)
    return total.reshape(*maps.shape[:-2], side, side)


def _areas(size: int, count: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Starts and lengths of ``count`` areas of whole pixels that together cover ``size`` pixels; they may overlap."""
    index = np.arange(count)
    starts = index * size // count
    return starts, -(-(index + 1) * size // count) - starts


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
