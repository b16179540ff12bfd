"""Detect boxes that do not look like x, y, width, height in pixels: corners, shares or per cent.

Nothing is converted, because valid files of small boxes exist. The warning gives counts that a person can check.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Convention = Literal["corners", "shares", "percent"]
Floats = npt.NDArray[np.float64]

_REACH = 0.05  # of a side, out of the image: annotators draw over the border, but not so far
_DECISIVE_SHARE = 0.1
_SHARE_OF_ODD = 0.02  # boxes that are damaged, in a file of another convention
_ROUNDING = 1e-3  # writers round shares to three decimals or more
_HUNDRED = 100.5
_LARGE_SIDE = 200  # pixels: a valid box in the middle of so large an image reaches beyond 100
_LARGE_SIDE_OF_CORNERS = 300  # pixels: likewise, its x is above its width if that is up to 100
_LEAST_BOXES = 5
_SPREAD = 50.0  # per cent that boxes reach at least; those of one corner of a picture do not
_MAX_CHANCE = 1e-4


@dataclass(frozen=True, slots=True)
class BoxSuspicion:
    """The convention that boxes seem to follow, with the counts.

    Attributes:
        convention: x0 y0 x1 y1 in pixels; shares of the image's sides, 0..1; or per cent of them.
        boxes: number of boxes that fit it.
        against: number of boxes that contradict it.
        of: number of all boxes.
    """

    convention: Convention
    boxes: int
    against: int
    of: int

    def __str__(self) -> str:
        """One line with the numbers, for boxes that are used as x, y, width, height in pixels."""
        counted = f"{self.boxes} of {self.of} boxes" if self.boxes < self.of else f"all {self.of} boxes"
        if self.convention == "corners":
            return (
                f"{counted} reach out of their image as x, y, width, height, {self.against or 'none'} as x0, y0, x1,"
                " y1: bbox looks like x0 y0 x1 y1; it is used as x, y, width, height"
            )
        if self.convention == "shares":
            return (
                f"{counted} lie within 0..1: bbox looks normalised, in shares of the image's width and height; it is"
                " used as pixels"
            )
        return (
            f"{counted} of larger images lie within their first 100 x 100 pixels: bbox looks like per cent of the"
            " image's width and height; it is used as pixels"
        )


def suspicion(xywh: Floats, sizes: Floats | npt.NDArray[np.int64]) -> BoxSuspicion | None:
    """Detect another convention than x, y, width, height in pixels; None if the boxes look right.

    - Shares: more than a tenth of the boxes have four numbers within 0..1.
    - Corners: more than a tenth of the boxes reach out of their image by more than a twentieth of its side, while at
      most one in fifty is no box within its image as two corners.
    - Per cent: at most one in fifty boxes of large images reaches beyond 100, as x, y, width, height or as two corners;
      some reach beyond 50 each way; and that so many valid boxes, at least five, lie there by chance is less probable
      than one in ten thousand.

    Args:
        xywh: (N, 4), the numbers as the file has them; rows with NaN are no boxes.
        sizes: (N, 2), width and height of each box's image in pixels; 0 or NaN where they are not known.
    """
    known: Floats = np.where(sizes > 0, sizes, np.nan)
    is_box = ~np.isnan(xywh).any(axis=1)
    xywh, known = xywh[is_box], known[is_box]
    within_one = int(((xywh >= 0) & (xywh <= 1 + _ROUNDING)).all(axis=1).sum())
    if within_one > _DECISIVE_SHARE * len(xywh):
        return BoxSuspicion("shares", within_one, len(xywh) - within_one, len(xywh))
    is_sized = ~np.isnan(known).any(axis=1)
    xywh, known = xywh[is_sized], known[is_sized]
    ends = xywh[:, :2] + xywh[:, 2:]
    corners = xywh[:, 2:]
    return (
        _corners(xywh, known)
        or _percent(ends, known, large=_LARGE_SIDE)
        or (_percent(corners, known, large=_LARGE_SIDE_OF_CORNERS) if _mostly(xywh[:, :2] < corners) else None)
    )


def _corners(xywh: Floats, sizes: Floats) -> BoxSuspicion | None:
    start, end = xywh[:, :2], xywh[:, 2:]
    reaches_out = (start + end > sizes * (1 + _REACH)).any(axis=1)
    are_corners = (start >= 0) & (start < end) & (end <= sizes + 1)
    if reaches_out.sum() <= _DECISIVE_SHARE * len(xywh) or not _mostly(are_corners):
        return None
    beyond = int((end > sizes + 1).any(axis=1).sum())
    return BoxSuspicion("corners", int(reaches_out.sum()), beyond, len(xywh))


def _percent(ends: Floats, sizes: Floats, *, large: int) -> BoxSuspicion | None:
    is_large = sizes >= large
    judged = is_large.any(axis=1)
    of, ends, sizes, is_large = len(ends), ends[judged], sizes[judged], is_large[judged]
    within = (ends <= _HUNDRED).all(axis=1)
    if within.sum() < _LEAST_BOXES or not _mostly(ends <= _HUNDRED):
        return None
    if (ends[within].max(axis=0) < _SPREAD).any():
        return None
    log_chance = np.log(np.where(is_large, _HUNDRED / sizes, 1.0))[within].sum()
    counted = int(within.sum())
    return BoxSuspicion("percent", counted, len(ends) - counted, of) if log_chance < np.log(_MAX_CHANCE) else None


def _mostly(holds: npt.NDArray[np.bool_]) -> bool:
    """Whether both columns hold in nearly all rows."""
    return bool((~holds.all(axis=1)).sum() <= _SHARE_OF_ODD * len(holds))
