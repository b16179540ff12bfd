"""Baseline masks of a box: the filled box and its ellipse."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mal.masks.rle import Rle, empty_rle, rle_from_window


def box_mask(bbox_xywh: Sequence[float], image_width: int, image_height: int) -> Rle:
    """Fill the box: sides rounded to the nearest pixel edge, at least one pixel, clipped to the image.

    Args:
        bbox_xywh: x, y, width, height in float pixels, as COCO has it.
        image_width, image_height: pixels.
    """
    x0, y0, x1, y1 = _pixel_box(bbox_xywh, image_width, image_height)
    if x0 >= x1 or y0 >= y1:
        return empty_rle(image_width, image_height)
    window = np.ones((y1 - y0, x1 - x0), dtype=bool)
    return rle_from_window(window, x0=x0, y0=y0, image_width=image_width, image_height=image_height)


def ellipse_mask(bbox_xywh: Sequence[float], image_width: int, image_height: int) -> Rle:
    """Fill the ellipse inscribed in the float box, by pixel centers; arguments as in `box_mask`."""
    x, y, w, h = bbox_xywh
    x0, y0 = max(math.floor(x), 0), max(math.floor(y), 0)
    x1, y1 = min(math.ceil(x + w), image_width), min(math.ceil(y + h), image_height)
    if x0 >= x1 or y0 >= y1:
        return empty_rle(image_width, image_height)
    across = (np.arange(x0, x1) + 0.5 - (x + w / 2)) / (w / 2)
    down = (np.arange(y0, y1) + 0.5 - (y + h / 2)) / (h / 2)
    window = across[None, :] ** 2 + down[:, None] ** 2 <= 1
    return rle_from_window(window, x0=x0, y0=y0, image_width=image_width, image_height=image_height)


def _pixel_box(bbox_xywh: Sequence[float], image_width: int, image_height: int) -> tuple[int, int, int, int]:
    x, y, w, h = bbox_xywh
    x0, y0 = math.floor(x + 0.5), math.floor(y + 0.5)
    x1, y1 = max(math.floor(x + w + 0.5), x0 + 1), max(math.floor(y + h + 0.5), y0 + 1)
    return max(x0, 0), max(y0, 0), min(x1, image_width), min(y1, image_height)
