"""Masks of one image that share no pixel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pycocotools import mask as mask_utils

from mal.masks.rle import Rle, rle_from_window, window_from_rle


def without_overlap(masks: Sequence[Rle], priorities: Sequence[float]) -> list[Rle]:
    """Give each pixel that several masks claim to one of them.

    Args:
        masks: of one image.
        priorities: one for each mask; the highest one gets the pixel, and of equal ones the first mask.

    Returns:
        As many masks in the same order; no two share a pixel, and together they cover what they covered before. One
        that others cover wholly is empty.
    """
    found = list(masks)
    contested = _that_touch_others(masks)
    if not len(contested):
        return found
    height, width = masks[0]["size"]
    owners = np.zeros((height, width), dtype=np.min_scalar_type(len(masks)))
    windows = {}
    for index in sorted(contested.tolist(), key=lambda index: (priorities[index], -index)):
        window, x0, y0 = window_from_rle(masks[index])
        part = owners[y0 : y0 + window.shape[0], x0 : x0 + window.shape[1]]
        part[window] = index + 1
        windows[index] = part, x0, y0
    for index, (part, x0, y0) in windows.items():
        found[index] = rle_from_window(part == index + 1, x0=x0, y0=y0, image_width=width, image_height=height)
    return found


def _that_touch_others(masks: Sequence[Rle]) -> np.ndarray:
    """Numbers of the masks that share a pixel with another one."""
    if len(masks) < 2:
        return np.empty(0, dtype=np.intp)
    shared = np.asarray(mask_utils.iou(list(masks), list(masks), [0] * len(masks))) > 0
    np.fill_diagonal(shared, False)
    return np.flatnonzero(shared.any(axis=1))
