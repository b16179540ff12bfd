"""Grow and shrink masks by a distance."""

from __future__ import annotations

import math

import numpy as np

from mal.masks.rle import Rle, empty_rle, rle_extent, rle_from_window, window_from_rle

_ROUNDING = 1e-9


def grown(rle: Rle, pixels: float) -> Rle:
    """Grow a mask: every pixel of the image within a distance of one of its pixels belongs to it.

    Args:
        rle: the mask.
        pixels: distance between centers of pixels, at least 0; below 1 nothing changes.
    """
    from scipy import ndimage  # SciPy takes a while to load

    if pixels < 1 or not any(rle_extent(rle)):
        return rle
    height, width = rle["size"]
    mask, column, row = window_from_rle(rle)
    reach = math.floor(pixels)
    x0, y0 = max(column - reach, 0), max(row - reach, 0)
    x1, y1 = min(column + mask.shape[1] + reach, width), min(row + mask.shape[0] + reach, height)
    outside = np.ones((y1 - y0, x1 - x0), np.bool_)
    outside[row - y0 : row - y0 + mask.shape[0], column - x0 : column - x0 + mask.shape[1]] = ~mask
    near = ndimage.distance_transform_edt(outside) <= pixels + _ROUNDING
    return rle_from_window(near, x0=x0, y0=y0, image_width=width, image_height=height)


def shrunk(rle: Rle, pixels: float) -> Rle:
    """Shrink a mask: only pixels farther than a distance from all pixels of the background remain.

    The border of the image is no background, since an object that it cuts goes on behind it.

    Args:
        rle: the mask.
        pixels: distance between centers of pixels, at least 0; below 1 nothing changes.
    """
    from scipy import ndimage

    if pixels < 1 or not any(rle_extent(rle)):
        return rle
    height, width = rle["size"]
    mask, column, row = window_from_rle(rle)
    x0, y0 = max(column - 1, 0), max(row - 1, 0)
    x1, y1 = min(column + mask.shape[1] + 1, width), min(row + mask.shape[0] + 1, height)
    inside = np.zeros((y1 - y0, x1 - x0), np.bool_)
    inside[row - y0 : row - y0 + mask.shape[0], column - x0 : column - x0 + mask.shape[1]] = mask
    if inside.all():  # the whole image
        return rle
    rest = ndimage.distance_transform_edt(inside) > pixels + _ROUNDING
    if not rest.any():
        return empty_rle(width, height)
    return rle_from_window(rest, x0=x0, y0=y0, image_width=width, image_height=height)


def mean_side(rle: Rle) -> float:
    """Mean of width and height in pixels of the box around a mask."""
    _, _, width, height = rle_extent(rle)
    return (width + height) / 2
