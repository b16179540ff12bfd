"""Post-processing: probabilities to a box's mask - threshold, components, holes, overlap."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
from pycocotools import mask as mask_utils

from mal.masks.paste import PastedMask, paste_mask, threshold_for
from mal.masks.refine import CropPixels, graph_cut_mask
from mal.masks.refine_choice import chosen_mask
from mal.masks.rle import Rle, rle_from_window, window_from_rle

_EIGHT_NEIGHBORS = np.ones((3, 3), dtype=bool)


def remove_small_components(mask: npt.NDArray[np.bool_], min_part: float) -> npt.NDArray[np.bool_]:
    """Remove connected components smaller than a share of the largest one.

    Args:
        mask: (h, w) bool; components are 8-connected.
        min_part: smallest area as a share of the largest component, 0..1.
    """
    from scipy import ndimage  # SciPy takes a while to load

    parts, count = ndimage.label(mask, _EIGHT_NEIGHBORS)
    if count < 2:
        return mask
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    is_kept = sizes >= min_part * sizes.max()
    is_kept[0] = False
    return is_kept[parts]


def fill_small_holes(mask: npt.NDArray[np.bool_], fill_holes: float) -> npt.NDArray[np.bool_]:
    """Fill holes no larger than a share of the mask's area.

    Args:
        mask: (h, w) bool. Background that is 4-connected to the border of the array is not a hole.
        fill_holes: largest area of a hole as a share of the mask's area, at least 0.
    """
    from scipy import ndimage

    gaps, count = ndimage.label(~np.pad(mask, 1))  # the padding makes one gap of all that is outside
    if count < 2:
        return mask
    sizes = np.bincount(gaps.ravel())
    is_filled = sizes <= fill_holes * np.count_nonzero(mask)
    is_filled[gaps[0, 0]] = is_filled[0] = False
    return mask | is_filled[gaps[1:-1, 1:-1]]


TOLERANCE = 0.1  # chosen in docs/cleaning.md, as the limits are
LOWEST, HIGHEST = 0.1, 0.5


def box_fitting_threshold(prob: npt.NDArray[np.float32], box: Sequence[float]) -> float:
    """The highest threshold up to :data:`HIGHEST` at which the mask still reaches all four sides of its box.

    A mask reaches a side where one of its pixels is nearer to it than :data:`TOLERANCE` of the box's extent, or beyond
    it. So the threshold falls below 0.5 only if the mask would not fill the box, and below :data:`LOWEST` only if the
    mask would be empty. It is computed from the largest probability of each row and column.

    Args:
        prob: (S, S) float32 in 0..1, the crop's probabilities.
        box: x0, y0, x1, y1 in pixels of the crop.

    Returns:
        A threshold in 0..1; a pixel of the crop exceeds it unless all are 0.
    """
    x0, y0, x1, y1 = box
    across, down = _reached(prob.max(axis=0), x0, x1), _reached(prob.max(axis=1), y0, y1)
    highest = float(np.nextafter(min(across, down), np.float32(0)))  # a pixel must exceed the threshold
    threshold = min(max(highest, LOWEST), HIGHEST)
    largest = float(prob.max())
    return threshold if largest > threshold else largest / 2


def _reached(line: npt.NDArray[np.float32], start: float, end: float) -> np.float32:
    """The threshold below which a mask reaches both ends of its box; takes the maxima along an axis."""
    slack = TOLERANCE * (end - start)
    first = min(max(1, round(start + slack)), len(line))
    last = max(min(len(line) - 1, round(end - slack)), 0)
    return min(line[:first].max(), line[last:].max())


def box_in_crop(box_xyxy: Sequence[float], frame: Sequence[int], side: int) -> tuple[float, float, float, float]:
    """Convert a box to pixels of its crop, clipped to the crop.

    Args:
        box_xyxy: x0, y0, x1, y1 in pixels of the image.
        frame: the crop's, in pixels of the image.
        side: of the crop in pixels.
    """
    x0, y0, x1, y1 = frame
    across, down = side / (x1 - x0), side / (y1 - y0)
    left, top, right, bottom = box_xyxy
    places = ((left - x0) * across, (top - y0) * down, (right - x0) * across, (bottom - y0) * down)
    left, top, right, bottom = (min(max(place, 0.0), float(side)) for place in places)
    return left, top, right, bottom


def without_overlap(masks: Sequence[Rle], priorities: Sequence[float]) -> list[Rle]:
    """Resolve overlaps: give each pixel to the mask with the highest priority.

    Args:
        masks: of one image.
        priorities: one for each mask; the highest one gets the pixel, and of equal ones the first mask.

    Returns:
        As many masks in the same order; no two share a pixel, and together they cover what they covered before. One
        that others cover wholly is empty.
    """
    found = list(masks)
    contested = _find_touching_pixels(masks)
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


def _find_touching_pixels(masks: Sequence[Rle]) -> np.ndarray:
    """Indices of the masks that share a pixel with another mask."""
    if len(masks) < 2:
        return np.empty(0, dtype=np.intp)
    shared = np.asarray(mask_utils.iou(list(masks), list(masks), [0] * len(masks))) > 0
    np.fill_diagonal(shared, False)
    return np.flatnonzero(shared.any(axis=1))


Thresholds = Sequence[float] | Literal["box_fit"]
"""One for all boxes; or one each for small, medium and large ones; or for each box the one that fits."""


@dataclass(frozen=True, slots=True)
class PostprocessOptions:
    """Post-processing options.

    Attributes:
        min_part: components smaller than this share of the largest one are removed; 0 keeps all.
        fill_holes: holes up to this share of the mask's area are filled; 0 leaves them.
        within_box: clip the mask to the box, which rounding to crop pixels may exceed.
    """

    min_part: float = 0.0
    fill_holes: float = 0.0
    within_box: bool = False


NO_POSTPROCESSING = PostprocessOptions()

# If a side of the box has at most so many pixels, the mask is always clipped to it: rounding would dominate.
THIN = 2.0


def postprocess_mask(
    prob: npt.NDArray[np.float32],
    frame: Sequence[int],
    image_size: tuple[int, int],
    *,
    box_xyxy: Sequence[float],
    box_area: float,
    thresholds: Thresholds,
    cleaning: PostprocessOptions = NO_POSTPROCESSING,
    cut_on: CropPixels | None = None,
    choose: bool = False,
) -> PastedMask:
    """Turn the probabilities of a crop into the mask of its box: threshold, paste, clip, clean.

    Args:
        prob: (S, S) float32 in 0..1, the crop's probabilities, 0 where no mask may be.
        frame: x0, y0, x1, y1 of the crop in pixels of the full image, end exclusive.
        image_size: width and height of the full image.
        box_xyxy: the box in pixels of the full image.
        box_area: in pixels of the full image; with three thresholds it chooses one.
        thresholds: above which probability a pixel is in the mask.
        cleaning: further steps; they never make a mask empty.
        cut_on: the crop's pixels; where given, the mask is refined on them by graph cut, before the cleaning.
        choose: whether the refined mask is taken only where it is expected to be the better one.
    """
    if isinstance(thresholds, str):
        threshold = box_fitting_threshold(prob, box_in_crop(box_xyxy, frame, len(prob)))
    else:
        threshold = threshold_for(box_area, thresholds)
    if cut_on is None:
        mask = paste_mask(prob, frame, image_size, threshold)
    elif choose:
        mask = chosen_mask(prob, cut_on, frame, image_size, threshold)
    else:
        mask = graph_cut_mask(prob, cut_on, frame, image_size, threshold)
    if cleaning.within_box or min(box_xyxy[2] - box_xyxy[0], box_xyxy[3] - box_xyxy[1]) <= THIN:
        mask = within_box(mask, box_xyxy)
    return remove_artifacts(mask, cleaning) if cleaning.min_part or cleaning.fill_holes else mask


def within_box(mask: PastedMask, box_xyxy: Sequence[float]) -> PastedMask:
    """Remove the pixels of a mask that a box, in image pixels, does not touch."""
    x0, y0, x1, y1 = box_xyxy
    height, width = mask.window.shape
    left, top = max(math.floor(x0) - mask.x0, 0), max(math.floor(y0) - mask.y0, 0)
    right, bottom = min(math.ceil(x1) - mask.x0, width), min(math.ceil(y1) - mask.y0, height)
    return replace(mask, window=mask.window[top:bottom, left:right], x0=mask.x0 + left, y0=mask.y0 + top)


def remove_artifacts(mask: PastedMask, cleaning: PostprocessOptions) -> PastedMask:
    """Remove small components and fill small holes."""

    rows, columns = (np.flatnonzero(mask.window.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return mask
    part = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    window = mask.window[part]
    if cleaning.min_part:
        window = remove_small_components(window, cleaning.min_part)
    if cleaning.fill_holes:
        window = fill_small_holes(window, cleaning.fill_holes)
    return replace(mask, window=window, x0=mask.x0 + int(columns[0]), y0=mask.y0 + int(rows[0]))
