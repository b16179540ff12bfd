"""Convert Label Studio regions to masks and polygons; find the image of a task."""

from __future__ import annotations

import re
from enum import Enum
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from mal.coco.coco_file import show
from mal.formats.by_image import Json
from mal.formats.folders import SUFFIXES
from mal.formats.label_studio_rle import decode
from mal.formats.outlines_of_shapes import ellipse_points, rectangle_corners, turned
from mal.formats.text_files import list_at, number_at, points_at
from mal.masks.rle import Rle, rle_from_mask, rle_from_segmentation

_ADDRESS = re.compile(r"(https?|s3|gs|azure-blob|file)://|/data/|data:image/", re.IGNORECASE)
_UPLOADED = re.compile(r"[0-9a-f]{8}-(.+)")  # what Label Studio puts before the names of uploaded files


def named_for(data: Json, images: Path | None) -> str:
    """The file name of the picture in the data of a task.

    Args:
        data: its values by name.
        images: folder of the pictures, in which they may lie under the names before their upload; None if not known.

    Raises:
        ValueError: there is none.
    """
    addresses = picture_names(data)
    if not addresses:
        raise ValueError("no image under data: a task has the address of one picture there")
    if addresses[0].startswith("data:"):
        raise ValueError("its picture is in the task itself (data:image) and has no file name")
    name = _file_name(addresses[0])
    if not name:
        raise ValueError(f"the address of its image ends without a file name: {show(addresses[0])}")
    before = _UPLOADED.fullmatch(PurePosixPath(name).name)
    if before and images is not None and not (images / name).is_file() and (images / before[1]).is_file():
        return before[1]
    return name


def picture_names(data: Json) -> list[str]:
    """The values that are, or look like, addresses of pictures; that under ``image`` first."""
    first = data.get("image")
    texts = [value for value in data.values() if isinstance(value, str) and value is not first]
    found = [text for text in texts if _ADDRESS.match(text) or _suffix(text) in SUFFIXES]
    return [first, *found] if isinstance(first, str) and first else found


def _suffix(address: str) -> str:
    return PurePosixPath(address.partition("?d=")[2] or address.partition("?")[0]).suffix.lower()


def _file_name(address: str) -> str:
    local = address.partition("?d=")[2]
    return unquote(local or address.partition("?")[0].rpartition("/")[2])


class RegionShape(Enum):
    """Shape of a region, independent of its tag."""

    RECTANGLE = "rectangle"
    ELLIPSE = "ellipse"
    POLYGON = "polygon"
    BRUSH = "brush"


def classify_region(region: Json) -> RegionShape | None:
    """Determine the shape from the keys of a region's value, not from its ``type``; None without an area."""
    value = region.get("value")
    if not isinstance(value, dict) or region.get("type") in ("choices", "taxonomy", "textarea", "number", "rating"):
        return None
    if "rle" in value:
        return RegionShape.BRUSH
    if "points" in value and "polyline" not in str(region.get("type")):
        return RegionShape.POLYGON
    if "radiusX" in value:
        return RegionShape.ELLIPSE
    return RegionShape.RECTANGLE if {"x", "y", "width", "height"} <= value.keys() else None


def read_mask(parts: list[Json], size: tuple[int, int]) -> Rle:
    """The mask of polygons, or of the first brush stroke.

    Args:
        parts: regions of one annotation, all of one kind.
        size: width and height of the image in pixels.

    Raises:
        ValueError: one is broken.
    """
    if classify_region(parts[0]) is RegionShape.BRUSH:
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


def read_box(value: Json, size: tuple[int, int]) -> list[float]:
    """The box of an upright rectangle, x, y, width, height in pixels.

    Raises:
        ValueError: it is broken or has no extent.
    """
    shares = [number_at(value, key) / 100 for key in ("x", "y", "width", "height")]
    if not (shares[2] > 0 and shares[3] > 0):
        raise ValueError("the rectangle has no extent")
    return [round(share * side, 4) for share, side in zip(shares, (*size, *size), strict=True)]


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
