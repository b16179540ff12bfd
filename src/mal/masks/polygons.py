"""Exact contours of masks, and polygons made from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from mal.masks.rle import Rle, mask_from_rle

Ring = npt.NDArray[np.int64]


@dataclass
class Contour:
    """Contour of one connected component (4-connected) and of its holes.

    Attributes:
        outer: (N, 2) int64, x and y of the corners of the contour, clockwise as seen; integers are pixel borders, so
            pixel (x, y) reaches from x to x + 1. The last corner is joined to the first.
        holes: the same for each hole, anticlockwise.
    """

    outer: Ring
    holes: list[Ring] = field(default_factory=list)


@dataclass(frozen=True)
class _Corners:
    """Corners of all contours; two coincide where two pixels touch only at that corner.

    Attributes:
        x, y: place on the grid of pixel borders.
        across, along: the corner at the other end of the horizontal, and of the vertical, side that begins here.
        in_rows, in_columns: all corners, sorted by y then x, and by x then y.
    """

    x: Ring
    y: Ring
    across: Ring
    along: Ring
    in_rows: Ring
    in_columns: Ring


def find_contours(mask: npt.NDArray[np.bool_]) -> list[Contour]:
    """Find the exact contours of a mask; filling them (even-odd rule) gives back every pixel.

    Args:
        mask: (H, W) bool.

    Returns:
        One contour for each component, in the order of its first pixel, row by row.
    """
    corners = _corners(mask)
    rings, ring_of = _rings(corners)
    parts: dict[int, Contour] = {}
    owner: list[int] = []
    for number, ring in enumerate(rings):
        start = ring[0]
        points = np.stack((corners.x[ring], corners.y[ring]), axis=1)
        if mask[corners.y[start], corners.x[start]]:
            parts[number] = Contour(points)
            owner.append(number)
        else:
            owner.append(owner[_ring_to_the_left(corners, ring_of, start)])
            parts[owner[-1]].holes.append(points[::-1])
    return list(parts.values())


def _corners(mask: npt.NDArray[np.bool_]) -> _Corners:
    pixels = np.pad(mask, 1)
    upper_left, upper_right = pixels[:-1, :-1], pixels[:-1, 1:]
    lower_left, lower_right = pixels[1:, :-1], pixels[1:, 1:]
    found = [
        _corner_pixels(upper_left, upper_right, lower_left, lower_right),
        _corner_pixels(upper_right, upper_left, lower_right, lower_left),
        _corner_pixels(lower_left, lower_right, upper_left, upper_right),
        _corner_pixels(lower_right, lower_left, upper_right, upper_left),
    ]
    y, x = np.concatenate(found, axis=1)
    counts = [places.shape[1] for places in found]
    to_the_right = np.repeat([False, True, False, True], counts)
    downwards = np.repeat([False, False, True, True], counts)
    in_rows = np.lexsort((to_the_right, x, y))
    in_columns = np.lexsort((downwards, y, x))
    return _Corners(x, y, _partners(in_rows), _partners(in_columns), in_rows, in_columns)


def _corner_pixels(
    pixel: npt.NDArray[np.bool_],
    beside: npt.NDArray[np.bool_],
    above_or_below: npt.NDArray[np.bool_],
    opposite: npt.NDArray[np.bool_],
) -> Ring:
    """(2, N): rows and columns of the grid points where the contour turns around this one of four pixels."""
    alone = pixel & ~beside & ~above_or_below
    missing = ~pixel & beside & above_or_below & opposite
    return np.stack(np.nonzero(alone | missing))


def _partners(order: Ring) -> Ring:
    """Pair corners sorted along a grid line: in turn the start and the end of a side."""
    partners = np.empty_like(order)
    partners[order[0::2]], partners[order[1::2]] = order[1::2], order[0::2]
    return partners


def _rings(corners: _Corners) -> tuple[list[list[int]], Ring]:
    """Corners of each ring, starting at the uppermost left one; and for each corner the number of its ring."""
    across, along = corners.across.tolist(), corners.along.tolist()
    ring_of = [-1] * len(across)
    rings: list[list[int]] = []
    for start in corners.in_rows[0::2].tolist():
        ring: list[int] = []
        corner = start
        while ring_of[corner] < 0:
            end = across[corner]
            ring_of[corner] = ring_of[end] = len(rings)
            ring += (corner, end)
            corner = along[end]
        if ring:
            rings.append(ring)
    return rings, np.array(ring_of, np.int64)


def _ring_to_the_left(corners: _Corners, ring_of: Ring, start: int) -> int:
    """Find the ring next to the left of the start of a hole; it belongs to the same component."""
    tops, bottoms = corners.in_columns[0::2], corners.in_columns[1::2]
    row = corners.y[start] - 1
    seen = (corners.x[tops] <= corners.x[start]) & (corners.y[tops] <= row) & (corners.y[bottoms] > row)
    return int(ring_of[tops[seen][np.argmax(corners.x[tops[seen]])]])


Points = npt.NDArray[np.int64]
_Number = TypeVar("_Number", np.int64, np.float64)

_ROWS_AT_ONCE = 256


def polygons_from_rle(rle: Rle, tolerance: float = 0.0) -> list[Points]:
    """Convert a mask to one polygon per component; bridges join holes to the outer contour.

    A bridge is a line that the polygon follows twice, there and back, so it encloses no area when filled by the
    even-odd rule, as pycocotools, OpenCV and browsers do.

    Args:
        rle: the mask.
        tolerance: largest distance in pixels between a corner of the exact contour and the polygon; at 0, decoding the
            polygons with pycocotools gives back exactly the same mask.

    Returns:
        (N, 2) int64 arrays of x, y on pixel borders, in pixels of the image; none for the empty mask.
    """
    mask = mask_from_rle(rle)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return []
    corner = np.array([columns[0], rows[0]])
    parts = find_contours(mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    return [_polygon(part, tolerance) + corner for part in parts]


def join_polygons(polygons: Sequence[npt.NDArray[_Number]]) -> npt.NDArray[_Number]:
    """Join polygons into one by bridges between their nearest corners.

    Args:
        polygons: (N, 2) arrays, at least one.
    """
    whole = polygons[0]
    for polygon in polygons[1:]:
        near, other = _nearest(whole, polygon)
        whole = np.concatenate((whole[: near + 1], polygon[other:], polygon[: other + 1], whole[near:]))
    return whole


def flat(polygon: npt.NDArray[np.int64 | np.float64]) -> list[float]:
    """Flatten a polygon to COCO's list x, y, x, y, ..."""
    numbers: list[float] = polygon.ravel().tolist()
    return numbers


def simplify_ring(ring: Points, tolerance: float) -> Points:
    """Simplify a ring with the Ramer-Douglas-Peucker algorithm.

    No old corner is farther from the new ring than the tolerance. A ring that would shrink to a line is kept unchanged,
    so that no component vanishes.

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


def _polygon(part: Contour, tolerance: float) -> Points:
    return join_polygons([simplify_ring(ring, tolerance) for ring in (part.outer, *part.holes)])


def _distances(
    points: npt.NDArray[np.float64], start: npt.NDArray[np.float64], end: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Distances of points to the line segment between two others."""
    direction = end - start
    length = float(direction @ direction)
    share = np.clip((points - start) @ direction / length, 0, 1) if length else np.zeros(len(points))
    distances: npt.NDArray[np.float64] = np.linalg.norm(points - start - share[:, None] * direction, axis=1)
    return distances


def _nearest(first: npt.NDArray[_Number], second: npt.NDArray[_Number]) -> tuple[int, int]:
    """Indices of the two corners that are nearest to each other."""
    best, pair = np.inf, (0, 0)
    for start in range(0, len(second), _ROWS_AT_ONCE):
        some = second[start : start + _ROWS_AT_ONCE]
        squares = ((some[:, None] - first[None]) ** 2).sum(axis=2)
        row, column = np.unravel_index(np.argmin(squares), squares.shape)
        if squares[row, column] < best:
            best, pair = squares[row, column], (int(column), start + int(row))
    return pair
