"""How the probabilities of a box become its mask: labels and metrics both ask here, so that they never differ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
from torch import Tensor

from mal.masks.box_fit import box_in_crop, fitting_threshold
from mal.masks.paste import PastedMask, paste_mask, threshold_for

Thresholds = Sequence[float] | Literal["box_fit"]
"""One for all boxes; or one each for small, medium and large ones; or for each box the one that fits."""


@dataclass(frozen=True, slots=True)
class MaskCleaning:
    """What is done to a mask after the threshold.

    Attributes:
        min_part: parts smaller than this share of the largest part are dropped; 0 keeps all.
        fill_holes: holes up to this share of the mask's area are filled; 0 leaves them.
        within_box: cut off what the rounding to pixels of the crop has let out of the box.
    """

    min_part: float = 0.0
    fill_holes: float = 0.0
    within_box: bool = False


AS_IT_IS = MaskCleaning()

# Of boxes with a side of so many pixels or fewer masks always keep to the box: rounding would be most of the mask.
THIN = 2.0


def finished_mask(
    prob: Tensor | npt.NDArray[np.float32],
    frame: Sequence[int],
    image_size: tuple[int, int],
    *,
    box_xyxy: Sequence[float],
    box_area: float,
    thresholds: Thresholds,
    cleaning: MaskCleaning = AS_IT_IS,
) -> PastedMask:
    """The mask of one box at its place in the image.

    Args:
        prob: (S, S) float32 in 0..1, the crop's probabilities, 0 where no mask may be.
        frame: x0, y0, x1, y1 of the crop in pixels of the full image, end exclusive.
        image_size: width and height of the full image.
        box_xyxy: the box in pixels of the full image.
        box_area: in pixels of the full image; with three thresholds it chooses one.
        thresholds: above which probability a pixel is in the mask.
        cleaning: what follows; a mask is never made empty by it.
    """
    crop = prob.cpu().numpy() if isinstance(prob, Tensor) else prob
    if isinstance(thresholds, str):
        threshold = fitting_threshold(crop, box_in_crop(box_xyxy, frame, len(crop)))
    else:
        threshold = threshold_for(box_area, thresholds)
    mask = paste_mask(crop, frame, image_size, threshold)
    if cleaning.within_box or min(box_xyxy[2] - box_xyxy[0], box_xyxy[3] - box_xyxy[1]) <= THIN:
        mask = within_box(mask, box_xyxy)
    return cleaned(mask, cleaning) if cleaning.min_part or cleaning.fill_holes else mask


def within_box(mask: PastedMask, box_xyxy: Sequence[float]) -> PastedMask:
    """A mask without the pixels that a box, in pixels of the image, does not touch."""
    x0, y0, x1, y1 = box_xyxy
    height, width = mask.window.shape
    left, top = max(math.floor(x0) - mask.x0, 0), max(math.floor(y0) - mask.y0, 0)
    right, bottom = min(math.ceil(x1) - mask.x0, width), min(math.ceil(y1) - mask.y0, height)
    return replace(mask, window=mask.window[top:bottom, left:right], x0=mask.x0 + left, y0=mask.y0 + top)


def cleaned(mask: PastedMask, cleaning: MaskCleaning) -> PastedMask:
    """A mask without specks and holes."""
    from mal.masks.parts import with_small_holes_filled, without_small_parts  # SciPy takes a while to load

    rows, columns = (np.flatnonzero(mask.window.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return mask
    part = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    window = mask.window[part]
    if cleaning.min_part:
        window = without_small_parts(window, cleaning.min_part)
    if cleaning.fill_holes:
        window = with_small_holes_filled(window, cleaning.fill_holes)
    return replace(mask, window=window, x0=mask.x0 + int(columns[0]), y0=mask.y0 + int(rows[0]))
