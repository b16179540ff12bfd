"""Outlines of a mask along the borders of its pixels, part by part, with the holes of each."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Ring = npt.NDArray[np.int64]


@dataclass
class Part:
    """Pixels that share sides; pixels that touch at a corner only are two parts.

    Attributes:
        outer: (N, 2) int64, x and y of the corners of the outline, clockwise as seen; integers are pixel borders, so
            pixel (x, y) reaches from x to x + 1. The last corner is joined to the first.
        holes: the same for each hole, anticlockwise.
    """

    outer: Ring
    holes: list[Ring] = field(default_factory=list)


@dataclass(frozen=True)
class _Corners:
    """Corners of all outlines; two lie at a point where two pixels touch only there.

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


def trace(mask: npt.NDArray[np.bool_]) -> list[Part]:
    """The exact outlines of a mask: filling them (even-odd, holes taken out) gives back its pixels, thin ones too.

    Args:
        mask: (H, W) bool.

    Returns:
        The parts by their first pixel, row by row.
    """
    corners = _corners(mask)
    rings, ring_of = _rings(corners)
    parts: dict[int, Part] = {}
    owner: list[int] = []
    for number, ring in enumerate(rings):
        start = ring[0]
        points = np.stack((corners.x[ring], corners.y[ring]), axis=1)
        if mask[corners.y[start], corners.x[start]]:
            parts[number] = Part(points)
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
        _odd_one_out(upper_left, upper_right, lower_left, lower_right),
        _odd_one_out(upper_right, upper_left, lower_right, lower_left),
        _odd_one_out(lower_left, lower_right, upper_left, upper_right),
        _odd_one_out(lower_right, lower_left, upper_right, upper_left),
    ]
    y, x = np.concatenate(found, axis=1)
    counts = [places.shape[1] for places in found]
    to_the_right = np.repeat([False, True, False, True], counts)
    downwards = np.repeat([False, False, True, True], counts)
    in_rows = np.lexsort((to_the_right, x, y))
    in_columns = np.lexsort((downwards, y, x))
    return _Corners(x, y, _partners(in_rows), _partners(in_columns), in_rows, in_columns)


def _odd_one_out(
    pixel: npt.NDArray[np.bool_],
    beside: npt.NDArray[np.bool_],
    above_or_below: npt.NDArray[np.bool_],
    opposite: npt.NDArray[np.bool_],
) -> Ring:
    """(2, N): rows and columns of the grid points where the outline turns around this one of the four pixels."""
    alone = pixel & ~beside & ~above_or_below
    missing = ~pixel & beside & above_or_below & opposite
    return np.stack(np.nonzero(alone | missing))


def _partners(order: Ring) -> Ring:
    """Sorted along a line of the grid, corners are in turn the beginning and the end of a side."""
    partners = np.empty_like(order)
    partners[order[0::2]], partners[order[1::2]] = order[1::2], order[0::2]
    return partners


def _rings(corners: _Corners) -> tuple[list[list[int]], Ring]:
    """The corners of each ring, from its uppermost left one to the right; and the number of the ring of each corner."""
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
    """The ring that the pixel above the start of a hole sees first to its left: it bounds the same part."""
    tops, bottoms = corners.in_columns[0::2], corners.in_columns[1::2]
    row = corners.y[start] - 1
    seen = (corners.x[tops] <= corners.x[start]) & (corners.y[tops] <= row) & (corners.y[bottoms] > row)
    return int(ring_of[tops[seen][np.argmax(corners.x[tops[seen]])]])
