"""Specks and holes of a mask."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

_EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=bool)


def without_small_parts(mask: npt.NDArray[np.bool_], min_part: float) -> npt.NDArray[np.bool_]:
    """A mask without the parts that are smaller than a share of its largest one, which therefore stays.

    Args:
        mask: (h, w) bool; pixels that touch at a corner belong to one part.
        min_part: 0..1.
    """
    parts, count = ndimage.label(mask, _EIGHT_NEIGHBOURS)
    if count < 2:
        return mask
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    is_kept = sizes >= min_part * sizes.max()
    is_kept[0] = False
    return is_kept[parts]


def with_small_holes_filled(mask: npt.NDArray[np.bool_], fill_holes: float) -> npt.NDArray[np.bool_]:
    """A mask with those of its holes filled that are no larger than a share of its area.

    Args:
        mask: (h, w) bool. What is open to the border of the array, or through a gap between pixels that touch at
            neither side nor corner, is no hole.
        fill_holes: at least 0.
    """
    gaps, count = ndimage.label(~np.pad(mask, 1))  # the padding makes one gap of all that is outside
    if count < 2:
        return mask
    sizes = np.bincount(gaps.ravel())
    is_filled = sizes <= fill_holes * np.count_nonzero(mask)
    is_filled[gaps[0, 0]] = is_filled[0] = False
    return mask | is_filled[gaps[1:-1, 1:-1]]
