"""The shapes of a CVAT task: its rectangles, and which of them have a mask already."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mal.formats.outlines_of_shapes import box_around, rectangle_corners, turned

Corners = tuple[float, float, float, float]
_SHARE_INSIDE = 0.5


@dataclass(frozen=True, slots=True)
class Rectangle:
    """A rectangle of a task.

    Attributes:
        id: its number on the server.
        frame, label_id: where it is, and what.
        xyxy: corners in pixels of the frame; of a turned one those of the upright box around it.
        taken_over: what its mask takes over from it, by the names of CVAT: group, attributes and the like.
    """

    id: int
    frame: int
    label_id: int
    xyxy: Corners
    taken_over: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Outline:
    """A mask or a polygon that a task has: where it is, what, and its bounding box in pixels of the frame."""

    frame: int
    label_id: int
    xyxy: Corners


def upright_corners(points: Sequence[float], degrees: float) -> Corners:
    """The corners of the upright box around a rectangle.

    Args:
        points: x0, y0, x1, y1 before it was turned.
        degrees: by which it was turned clockwise around its center.
    """
    x0, y0, x1, y1 = points
    if not degrees:
        return x0, y0, x1, y1
    corners = rectangle_corners(x0, y0, x1 - x0, y1 - y0)
    x, y, width, height = box_around([turned(corners, ((x0 + x1) / 2, (y0 + y1) / 2), degrees)])
    return x, y, x + width, y + height


def having_a_mask(rectangles: Sequence[Rectangle], outlines: Sequence[Outline]) -> set[int]:
    """The ids of the rectangles that have a mask or a polygon already, drawn by anybody.

    An outline belongs to one rectangle of its frame and label, in which at least half of its own box lies. So masks
    that were made of rectangles are found again whatever network made them, and rectangles that lie in each other or
    overlap do not take each other's: small rectangles are paired first, and as many as possible are.
    """
    found: set[int] = set()
    for rectangles_here, outlines_here in _by_place(rectangles, outlines):
        found |= {rectangles_here[row].id for row in _paired(_fits(rectangles_here, outlines_here))}
    return found


def _by_place(
    rectangles: Sequence[Rectangle], outlines: Sequence[Outline]
) -> Iterator[tuple[list[Rectangle], list[Outline]]]:
    """Rectangles, small ones first, and outlines of the same frame and label."""
    places: dict[tuple[int, int], tuple[list[Rectangle], list[Outline]]] = {}
    for rectangle in sorted(rectangles, key=lambda rectangle: _areas(np.array(rectangle.xyxy)).item()):
        places.setdefault((rectangle.frame, rectangle.label_id), ([], []))[0].append(rectangle)
    for outline in outlines:
        if (outline.frame, outline.label_id) in places:
            places[outline.frame, outline.label_id][1].append(outline)
    return iter(places.values())


def _fits(rectangles: Sequence[Rectangle], outlines: Sequence[Outline]) -> list[list[int]]:
    """For each rectangle the numbers of the outlines that may be its own."""
    boxes = np.array([rectangle.xyxy for rectangle in rectangles]).reshape(-1, 1, 4)
    others = np.array([outline.xyxy for outline in outlines]).reshape(1, -1, 4)
    shared = np.concatenate([np.maximum(boxes, others)[..., :2], np.minimum(boxes, others)[..., 2:]], axis=-1)
    inside = _areas(shared) >= _SHARE_INSIDE * _areas(others)
    return [np.flatnonzero(row).tolist() for row in inside & (_areas(others) > 0)]


def _areas(corners: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    extent = np.maximum(corners[..., 2:] - corners[..., :2], 0)
    area: npt.NDArray[np.float64] = extent[..., 0] * extent[..., 1]
    return area


def _paired(fits: Sequence[Sequence[int]]) -> set[int]:
    """The rows of a maximum matching of rows and columns (Kuhn's algorithm); a row that has a pair keeps one."""
    column_of: dict[int, int] = {}
    row_of: dict[int, int] = {}
    for row in range(len(fits)):
        _find_a_pair(row, fits, column_of, row_of)
    return set(column_of)


def _find_a_pair(row: int, fits: Sequence[Sequence[int]], column_of: dict[int, int], row_of: dict[int, int]) -> None:
    """Pair a row, where others can step aside for it."""
    reached_from: dict[int, int] = {}
    waiting = [row]
    while waiting:
        asking = waiting.pop()
        for column in fits[asking]:
            if column in reached_from:
                continue
            reached_from[column] = asking
            if column in row_of:
                waiting.append(row_of[column])
                continue
            free: int | None = column
            while free is not None:
                taker = reached_from[free]
                row_of[free], column_of[taker], free = taker, free, column_of.get(taker)
            return
