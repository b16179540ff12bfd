"""Polygons for shapes that COCO lacks: rotated rectangles and ellipses."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mal.masks.rle import Rle, rle_area, rle_from_segmentation

_ELLIPSE_CORNERS = 72  # the area is then right to 0.2 %


def turned(points: Sequence[tuple[float, float]], around: tuple[float, float], degrees: float) -> list[float]:
    """Rotate points clockwise (as seen in the image) around a point: x1, y1, x2, y2 ..., in pixels."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    found: list[float] = []
    for x, y in points:
        across, down = x - around[0], y - around[1]
        found += [around[0] + across * cosine - down * sine, around[1] + across * sine + down * cosine]
    return found


def rectangle_corners(x: float, y: float, width: float, height: float) -> list[tuple[float, float]]:
    """The four corners of an upright rectangle."""
    return [(x, y), (x + width, y), (x + width, y + height), (x, y + height)]


def ellipse_points(x: float, y: float, radius_x: float, radius_y: float) -> list[tuple[float, float]]:
    """Points of an upright ellipse around a center."""
    angles = np.arange(_ELLIPSE_CORNERS) * (2 * math.pi / _ELLIPSE_CORNERS)
    pairs = np.stack([x + radius_x * np.cos(angles), y + radius_y * np.sin(angles)], axis=1)
    return [(float(across), float(down)) for across, down in pairs]


def box_around(polygons: Sequence[Sequence[float]]) -> list[float]:
    """x, y, width, height of the box around polygons.

    Raises:
        ValueError: it has no extent.
    """
    xs = [value for polygon in polygons for value in polygon[0::2]]
    ys = [value for polygon in polygons for value in polygon[1::2]]
    box = [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
    if not (box[2] > 0 and box[3] > 0):
        raise ValueError("the shape has no extent")
    return [round(value, 4) for value in box]


def polygon_record(polygons: Sequence[Sequence[float]], size: tuple[int, int]) -> dict[str, object]:
    """The keys ``segmentation`` and ``area`` of an annotation made of polygons, in an image of width and height.

    Raises:
        ValueError: one is no polygon near the image.
    """
    rounded = [[round(float(value), 3) for value in polygon] for polygon in polygons]
    rle: Rle = rle_from_segmentation(rounded, size[1], size[0])
    return {"segmentation": rounded, "area": rle_area(rle)}
