"""Polygons with few corners: a budget for each object, exceeded only where its mask would suffer too much."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pycocotools import mask as mask_utils

from mal.masks.polygons import find_contours, flat, join_polygons
from mal.masks.rle import Rle, rle_from_segmentation, window_from_rle

Polygon = npt.NDArray[np.float64]
Place = tuple[float, float]

FEWEST_CORNERS = 4
_GRID = 5  # pycocotools fills polygons on fifths of a pixel, so that corners on them have the same pixels everywhere
_MORE = 1.2  # factor from one budget to the next where the IoU is too low
_BRIDGE = 2  # corners that a bridge adds


@dataclass(frozen=True, slots=True)
class Outline:
    """Polygons of a mask.

    Attributes:
        polygons: (N, 2) float64 each, x and y in pixels of the image; holes are joined by bridges. None of an empty
            mask.
        iou: of the mask and the pixels that pycocotools fills, 0..1.
        dropped: number of small parts and holes that are left out.
    """

    polygons: list[Polygon]
    iou: float
    dropped: int = 0

    @property
    def corners(self) -> int:
        """Corners of all polygons, those of bridges included."""
        return sum(map(len, self.polygons))


def outline_with_few_corners(rle: Rle, max_corners: int, min_iou: float, *, is_joined: bool = False) -> Outline:
    """Draw a mask with few corners.

    Corners that change the fewest pixels go first, whichever component or hole they belong to; a component or a hole
    that has become a triangle goes next, except the largest component.

    Args:
        rle: the mask.
        max_corners: of the whole object, at least :data:`FEWEST_CORNERS`; an outline that has no more is exact.
        min_iou: with the mask, 0..1; more corners are kept where it would be lower. The exact outline has 1.
        is_joined: all components become one polygon.
    """
    mask, x0, y0 = window_from_rle(rle)
    if not mask.any():
        return Outline([], 1.0)
    height, width = rle["size"]
    rings = _Rings([(part.outer, part.holes) for part in find_contours(mask)], is_joined)
    exact = Outline(rings.polygons((x0, y0), (width, height)), 1.0)
    tried = []
    for budget in reversed(_budgets(max_corners, rings.corners)):
        rings.reduce(budget)
        tried.append((rings.polygons((x0, y0), (width, height)), rings.dropped))
    for polygons, dropped in reversed(tried):
        iou = iou_of_polygons(polygons, rle)
        if iou > 0 and iou >= min_iou:
            return Outline(polygons, iou, dropped)
    return exact


def iou_of_polygons(polygons: Sequence[npt.NDArray[np.int64 | np.float64]], rle: Rle) -> float:
    """IoU of a mask and the pixels that pycocotools fills in polygons, 0..1."""
    filled = rle_from_segmentation([flat(polygon) for polygon in polygons], *rle["size"])
    return float(mask_utils.iou([filled], [rle], [0])[0, 0])


def _budgets(fewest: int, corners: int) -> list[int]:
    """Numbers of corners to try, rising, all below those of the exact outline."""
    budgets = []
    while fewest < corners:
        budgets.append(fewest)
        fewest = math.ceil(fewest * _MORE)
    return budgets


class _Rings:
    """Rings of an object, from which corners are taken one by one.

    Two neighbors B and C between A and D become one corner E such that the area stays the same and few pixels change
    (Kronenfeld et al., Simplification of polylines by segment collapse, 2020). Each pair is in a queue by the area
    that changes.
    """

    def __init__(self, parts: Sequence[tuple[npt.NDArray[np.int64], list[npt.NDArray[np.int64]]]], is_joined: bool):
        self._is_joined = is_joined
        self._places: list[Place] = []
        self._before: list[int] = []
        self._after: list[int] = []
        self._ring: list[int] = []
        self._collapsed: dict[int, Place] = {}
        self._queue: list[tuple[float, int, int]] = []
        self._stamps: list[int] = []
        self._first: list[int] = []
        self._length: list[int] = []
        self._outer: list[int] = []
        for outer, holes in parts:
            number = len(self._first)
            for ring in (outer, *holes):
                self._add(ring, number)
        areas = [abs(self._area(ring)) if self._outer[ring] == ring else 0.0 for ring in range(len(self._first))]
        self._largest = int(np.argmax(areas))
        for corner in range(len(self._places)):
            self._enqueue(corner)

    def _add(self, ring: npt.NDArray[np.int64], outer: int) -> None:
        start, count = len(self._places), len(ring)
        numbers = range(start, start + count)
        self._places += [(float(x), float(y)) for x, y in ring.tolist()]
        self._before += [start + count - 1, *numbers[:-1]]
        self._after += [*numbers[1:], start]
        self._ring += [len(self._first)] * count
        self._stamps += [0] * count
        self._first.append(start)
        self._length.append(count)
        self._outer.append(outer)

    @property
    def corners(self) -> int:
        """Corners as they are written."""
        kept = [ring for ring, count in enumerate(self._length) if count]
        parts = sum(self._outer[ring] == ring for ring in kept)
        bridges = len(kept) - (1 if self._is_joined else parts)
        return sum(self._length) + _BRIDGE * bridges

    @property
    def dropped(self) -> int:
        """Rings that are gone."""
        return self._length.count(0)

    def reduce(self, budget: int) -> None:
        """Take corners away until there are no more than a number of them, or one triangle."""
        corners = self.corners
        while corners > budget and self._queue:
            _, corner, stamp = heapq.heappop(self._queue)
            ring = self._ring[corner]
            if stamp != self._stamps[corner] or not self._length[ring]:
                continue
            if self._length[ring] > 3:
                self._collapse(corner)
                corners -= 1
            elif ring != self._largest:
                self._drop(ring)
                corners = self.corners

    def polygons(self, corner: tuple[int, int], size: tuple[int, int]) -> list[Polygon]:
        """The polygons in pixels of the image, on the grid and inside the image.

        Args:
            corner: column and row of the image at which the rings start.
            size: width and height of the image.
        """
        parts: dict[int, list[Polygon]] = {}
        for ring, count in enumerate(self._length):
            if count:
                places = np.array([self._places[corner] for corner in self._corners_of(ring)]) + corner
                inside = np.clip(np.rint(places * _GRID) / _GRID, 0, size)
                parts.setdefault(self._outer[ring], []).append(inside)
        polygons = [join_polygons(rings) for rings in parts.values()]
        return [join_polygons(polygons)] if self._is_joined else polygons

    def _corners_of(self, ring: int) -> list[int]:
        corners = [self._first[ring]]
        while len(corners) < self._length[ring]:
            corners.append(self._after[corners[-1]])
        return corners

    def _area(self, ring: int) -> float:
        """Twice the area, with its sign."""
        places = [self._places[corner] for corner in self._corners_of(ring)]
        return sum(_cross((0.0, 0.0), *pair) for pair in zip(places, [*places[1:], places[0]], strict=True))

    def _enqueue(self, corner: int) -> None:
        """Put the pair that a corner begins into the queue; of a triangle, the triangle."""
        self._stamps[corner] += 1
        ring = self._ring[corner]
        if self._length[ring] > 3:
            after = self._after[corner]
            around = (self._before[corner], corner, after, self._after[after])
            cost, self._collapsed[corner] = _collapse(*(self._places[number] for number in around))
        else:
            cost = abs(self._area(ring))
        heapq.heappush(self._queue, (cost, corner, self._stamps[corner]))

    def _collapse(self, corner: int) -> None:
        gone = self._after[corner]
        self._places[corner] = self._collapsed[corner]
        after = self._after[gone]
        self._after[corner], self._before[after] = after, corner
        self._stamps[gone] += 1
        ring = self._ring[corner]
        self._length[ring] -= 1
        if self._first[ring] == gone:
            self._first[ring] = corner
        before = self._before[corner]
        for changed in {self._before[before], before, corner, after}:
            self._enqueue(changed)

    def _drop(self, ring: int) -> None:
        """Drop a ring, and with a component its holes."""
        for other, outer in enumerate(self._outer):
            if other == ring or outer == ring:
                self._length[other] = 0


def _collapse(a: Place, b: Place, c: Place, d: Place) -> tuple[float, Place]:
    """The corner in place of b and c that keeps the area, and a bound of twice the area that changes sides."""
    area = _cross(a, b, c) + _cross(a, c, d)
    candidates = []
    for start, end in ((a, b), (d, c)):
        height = _cross(a, end, d)
        if height:
            share = area / height
            candidates.append((start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1])))
    middle = ((b[0] + c[0]) / 2, (b[1] + c[1]) / 2)
    dx, dy = d[0] - a[0], d[1] - a[1]
    if squares := dx * dx + dy * dy:
        away = (area - _cross(a, middle, d)) / squares
        middle = (middle[0] + away * dy, middle[1] - away * dx)
    candidates.append(middle)
    return min((abs(_cross(e, a, b)) + abs(_cross(e, b, c)) + abs(_cross(e, c, d)), e) for e in candidates)


def _cross(origin: Place, first: Place, second: Place) -> float:
    """Twice the signed area of a triangle."""
    return (first[0] - origin[0]) * (second[1] - origin[1]) - (first[1] - origin[1]) * (second[0] - origin[0])
