"""A mask as polygons, for formats that have no other place for it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mal.masks.outlines import Part, trace
from mal.masks.rle import Rle, mask_from_rle

Points = npt.NDArray[np.int64]

_ROWS_AT_ONCE = 256


def polygons_from_rle(rle: Rle, tolerance: float = 0.0) -> list[Points]:
    """One polygon for each part of a mask; the holes of a part are joined to its outline by bridges.

    A bridge is a line that the polygon goes along twice, there and back. Filled by the even-odd rule, as pycocotools,
    OpenCV and every browser do, it encloses nothing.

    Args:
        rle: the mask.
        tolerance: how far in pixels a corner of the exact outline may lie beside the polygon; at 0 pycocotools makes
            the very mask of the polygons.

    Returns:
        (N, 2) int64 arrays of x, y on pixel borders, in pixels of the image; none for the empty mask.
    """
    mask = mask_from_rle(rle)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return []
    corner = np.array([columns[0], rows[0]])
    parts = trace(mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    return [_polygon(part, tolerance) + corner for part in parts]


def joined(polygons: Sequence[Points]) -> Points:
    """Several polygons as one, joined by bridges between the corners that are nearest to each other.

    Args:
        polygons: (N, 2) arrays, at least one.
    """
    whole = polygons[0]
    for polygon in polygons[1:]:
        near, other = _nearest(whole, polygon)
        whole = np.concatenate((whole[: near + 1], polygon[other:], polygon[: other + 1], whole[near:]))
    return whole


def flat(polygon: Points) -> list[int]:
    """The list x, y, x, y, ... of COCO."""
    numbers: list[int] = polygon.ravel().tolist()
    return numbers


def simplified(ring: Points, tolerance: float) -> Points:
    """A closed line with fewer corners, none of the old ones farther from it than the tolerance.

    The method of Ramer, Douglas and Peucker. A ring that would shrink to a line stays as it is: no part vanishes.

    Args:
        ring: (N, 2), at least three corners.
        tolerance: pixels; 0 keeps all corners.
    """
    if tolerance <= 0:
        return ring
    far = int(np.argmax(((ring - ring[0]) ** 2).sum(axis=1)))
    closed = np.concatenate((ring, ring[:1])).astype(np.float64)
    is_kept = np.zeros(len(closed), np.bool_)
    is_kept[[0, far]] = True
    spans = [(0, far), (far, len(ring))]
    while spans:
        start, end = spans.pop()
        if end - start < 2:
            continue
        distances = _distances(closed[start + 1 : end], closed[start], closed[end])
        worst = int(np.argmax(distances))
        if distances[worst] > tolerance:
            middle = start + 1 + worst
            is_kept[middle] = True
            spans += [(start, middle), (middle, end)]
    result = ring[is_kept[:-1]]
    return result if len(result) > 2 else ring


def _polygon(part: Part, tolerance: float) -> Points:
    return joined([simplified(ring, tolerance) for ring in (part.outer, *part.holes)])


def _distances(
    points: npt.NDArray[np.float64], start: npt.NDArray[np.float64], end: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Distances of points to the straight piece between two others."""
    direction = end - start
    length = float(direction @ direction)
    share = np.clip((points - start) @ direction / length, 0, 1) if length else np.zeros(len(points))
    distances: npt.NDArray[np.float64] = np.linalg.norm(points - start - share[:, None] * direction, axis=1)
    return distances


def _nearest(first: Points, second: Points) -> tuple[int, int]:
    """Indices of the two corners that are nearest to each other."""
    best, pair = np.inf, (0, 0)
    for start in range(0, len(second), _ROWS_AT_ONCE):
        some = second[start : start + _ROWS_AT_ONCE]
        squares = ((some[:, None] - first[None]) ** 2).sum(axis=2)
        row, column = np.unravel_index(np.argmin(squares), squares.shape)
        if squares[row, column] < best:
            best, pair = squares[row, column], (int(column), start + int(row))
    return pair
