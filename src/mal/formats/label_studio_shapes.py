"""Shapes of Label Studio: in per cent of the image, or a code of pixels."""

from __future__ import annotations

from enum import Enum

from mal.formats.by_image import Json
from mal.formats.json_fields import list_at, number_at, points_at
from mal.formats.label_studio_rle import decode
from mal.formats.outlines_of_shapes import ellipse_points, rectangle_corners, turned
from mal.masks.rle import Rle, rle_from_mask, rle_from_segmentation


class Shape(Enum):
    """What a region is, whatever tag drew it."""

    RECTANGLE = "rectangle"
    ELLIPSE = "ellipse"
    POLYGON = "polygon"
    BRUSH = "brush"


def kind_of(region: Json) -> Shape | None:
    """By what a region's value holds, since ``type`` also says by which tag it was labelled; None without an area."""
    value = region.get("value")
    if not isinstance(value, dict) or region.get("type") in ("choices", "taxonomy", "textarea", "number", "rating"):
        return None
    if "rle" in value:
        return Shape.BRUSH
    if "points" in value and "polyline" not in str(region.get("type")):
        return Shape.POLYGON
    if "radiusX" in value:
        return Shape.ELLIPSE
    return Shape.RECTANGLE if {"x", "y", "width", "height"} <= value.keys() else None


def read_mask(parts: list[Json], size: tuple[int, int]) -> Rle:
    """The mask of polygons, or of the first brush stroke.

    Args:
        parts: regions of one annotation, all of one kind.
        size: width and height of the image in pixels.

    Raises:
        ValueError: one is broken.
    """
    if kind_of(parts[0]) is Shape.BRUSH:
        code = list_at(parts[0]["value"], "rle")
        if not all(type(value) is int and 0 <= value < 256 for value in code):
            raise ValueError("the brush code is not a list of bytes")
        return rle_from_mask(decode(code, size[1], size[0]))
    polygons = [
        [
            share / 100 * side
            for point in points_at(part["value"], "points")
            for share, side in zip(point, size, strict=True)
        ]
        for part in parts
    ]
    return rle_from_segmentation(polygons, size[1], size[0])


def read_outline(value: Json, size: tuple[int, int]) -> list[float]:
    """The polygon of an ellipse, or of a rectangle, which is turned around its first corner; in pixels.

    Raises:
        ValueError: it is broken.
    """
    x, y = number_at(value, "x") / 100 * size[0], number_at(value, "y") / 100 * size[1]
    degrees = number_at(value, "rotation") if value.get("rotation") else 0.0
    across, down = ("radiusX", "radiusY") if "radiusX" in value else ("width", "height")
    width, height = number_at(value, across) / 100 * size[0], number_at(value, down) / 100 * size[1]
    points = ellipse_points(x, y, width, height) if "radiusX" in value else rectangle_corners(x, y, width, height)
    return turned(points, (x, y), degrees)
