"""The threshold at which a mask fits its box."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

TOLERANCE = 0.1  # chosen in docs/cleaning.md, as the limits are
LOWEST, HIGHEST = 0.1, 0.5


def fitting_threshold(prob: npt.NDArray[np.float32], box: Sequence[float]) -> float:
    """The highest threshold up to :data:`HIGHEST` at which the mask still reaches all four sides of its box.

    A mask reaches a side where one of its pixels is nearer to it than :data:`TOLERANCE` of the box's extent, or beyond
    it. So a mask is what is more likely the object than not, and grows only where it falls short of the box; below
    :data:`LOWEST` only where it would be empty. The largest probabilities of the rows and of the columns tell it all.

    Args:
        prob: (S, S) float32 in 0..1, the crop's probabilities.
        box: x0, y0, x1, y1 in pixels of the crop.

    Returns:
        A threshold in 0..1; a pixel of the crop exceeds it unless all are 0.
    """
    x0, y0, x1, y1 = box
    across, down = _reached(prob.max(axis=0), x0, x1), _reached(prob.max(axis=1), y0, y1)
    highest_that_fits = float(np.nextafter(min(across, down), np.float32(0)))  # a pixel must exceed the threshold
    threshold = min(max(highest_that_fits, LOWEST), HIGHEST)
    largest = float(prob.max())
    return threshold if largest > threshold else largest / 2


def _reached(line: npt.NDArray[np.float32], start: float, end: float) -> np.float32:
    """Below which threshold a mask reaches both ends of its box, from the largest probabilities along an axis."""
    slack = TOLERANCE * (end - start)
    first = min(max(1, round(start + slack)), len(line))
    last = max(min(len(line) - 1, round(end - slack)), 0)
    return min(line[:first].max(), line[last:].max())


def box_in_crop(box_xyxy: Sequence[float], frame: Sequence[int], side: int) -> tuple[float, float, float, float]:
    """A box in the pixels of its crop, cut off at the crop's border.

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
