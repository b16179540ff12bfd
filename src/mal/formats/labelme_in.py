"""Read LabelMe, X-AnyLabeling and AnyLabeling: one JSON file per image."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from mal.coco.coco_file import CocoFile, parse_whole_document
from mal.data.picture_file import picture_in
from mal.errors import UserError, one_line
from mal.formats.builder import CARRIED, CocoBuilder, restored, restored_box
from mal.formats.by_image import Json
from mal.formats.folders import ReadOptions, annotation_files, picture_size, size_or_picture
from mal.formats.tally import Tally
from mal.formats.text_files import an_object, list_at, pixels_or_none, points_at, read_text_file, text_at
from mal.limits import MAX_IMAGE_PIXELS
from mal.masks.rle import Rle, empty_rle, rle_from_segmentation, rle_from_window

_SAME = 1e-6  # pixels that the side of an unedited box may differ by, after sums and differences of corners
_NEAR = 10  # times the longer side of an image, as for polygons
_NO_CLASSES = ("__ignore__", "_background_")  # what LabelMe's own converters leave out
_POLYGONS = ("polygon", "rotation", "quadrilateral", "oriented_rectangle")
_MASK_MODES = ("1", "L", "P")  # whose values are those of the file
_WORDS = ("description", "difficult", "flags", "attributes")  # under which people say more about a shape


def read_labelme(path: Path, options: ReadOptions, tally: Tally) -> CocoFile:
    """Read one JSON file, all that a pattern or a list names, or all in a folder and below it.

    Polygons, turned boxes, rectangles (of two corners, or four), circles and masks become annotations; polygons of the
    same label and ``group_id`` become one. Other shapes (points, lines) are left out and counted, and so are those
    called ``__ignore__``.

    Args:
        path: the file or folder, a pattern or a list of files.
        options: with ``images`` a size that a file does not say comes from the picture.
        tally: notes broken records.

    Raises:
        UserError: a file is broken; it is named.
    """
    files, folder = (sorted(path.rglob("*.json")), path) if path.is_dir() else annotation_files(path, ".json")
    builder = CocoBuilder(_class_names(folder / "labels.txt"))
    for file in files:
        try:
            _read_file(file, folder, options, builder, tally)
        except ValueError as error:
            tally.broken(str(file), str(error))
    return builder.build(path, tally)


def _class_names(file: Path) -> list[str]:
    lines = read_text_file(file).splitlines() if file.is_file() else []
    return [name for name in dict.fromkeys(lines) if name and name not in _NO_CLASSES]


def _read_file(file: Path, folder: Path, options: ReadOptions, builder: CocoBuilder, tally: Tally) -> None:
    try:
        content, _ = parse_whole_document(file)
    except UserError as error:
        if not tally.skip_broken:
            raise
        tally.broken(str(file), str(error).removeprefix(f"{file} "))
        return
    document = an_object(content, "the top level")
    if "shapes" not in document:
        raise ValueError("not a LabelMe file: the key 'shapes' is missing")
    shapes = list_at(document, "shapes")
    record = dict(document[CARRIED]) if isinstance(document.get(CARRIED), dict) else {}
    picture = PurePosixPath(text_at(document, "imagePath").replace("\\", "/"))
    beside = (file.parent.relative_to(folder) / picture.name).as_posix()
    name = str(record.pop("file_name", beside))
    size = _size(document, file.parent / picture.name, name, options)
    builder.image(name, size, record)
    _read_shapes(shapes, size, file, builder, tally)


def _size(document: Json, beside: Path, name: str, options: ReadOptions) -> tuple[int, int]:
    """Image size from the file, else from the image in ``--images``, else from the one next to the file."""
    size = pixels_or_none(document, "imageWidth", "imageHeight")
    if size is None and options.images is None and beside.is_file():
        size = picture_size(beside, "upright")
    if size is None and options.images is not None and not (options.images / name).is_file():
        name = beside.name  # the pictures of all folders may lie in one
    return size_or_picture(size, name, options)


def _read_shapes(shapes: Sequence[Any], size: tuple[int, int], file: Path, builder: CocoBuilder, tally: Tally) -> None:
    for number, parts in _grouped(shapes).items():
        where = f"{file}, shape {number}"
        try:
            _read_annotation([an_object(part, "the shape") for part in parts], size, where, builder, tally)
        except ValueError as error:
            tally.broken(where, str(error))


def _grouped(shapes: Sequence[Any]) -> dict[int, list[Any]]:
    """Shapes by annotation, under the number of the first: polygons of one label and group are parts of one."""
    firsts: dict[str, int] = {}
    groups: dict[int, list[Any]] = {}
    for number, shape in enumerate(shapes):
        is_part = isinstance(shape, dict) and shape.get("group_id") is not None and _kind(shape) == "polygon"
        first = firsts.setdefault(repr((shape.get("label"), shape["group_id"])), number) if is_part else number
        groups.setdefault(first, []).append(shape)
    return groups


def _kind(shape: Json) -> str:
    return str(shape.get("shape_type") or "polygon")  # early versions of LabelMe knew nothing else


def _read_annotation(parts: list[Json], size: tuple[int, int], where: str, builder: CocoBuilder, tally: Tally) -> None:
    first = parts[0]
    kind, label, carrier = _kind(first), text_at(first, "label"), first.get(CARRIED)
    if label in _NO_CLASSES and carrier is None:
        tally.left_out[f"shapes called {label}, which LabelMe leaves out too"].append(where)
        return
    if kind == "rectangle":
        box, more = restored_box(carrier, _box_record(first), where, tally, label, _SAME)
    elif (rle := _mask(kind, parts, size)) is not None:
        box, more = restored(carrier, rle, where, tally, label)
    else:
        tally.left_out[f"shapes of the type {kind} have no area"].append(where)
        return
    builder.annotation(label, box, more if carrier is not None else more | _score_and_attributes(first))


def _box_record(shape: Json) -> list[float]:
    """X-AnyLabeling writes all four corners, LabelMe two."""
    points = points_at(shape, "points")
    if len(points) not in (2, 4):
        raise ValueError(f"a rectangle has two or four points, this one has {len(points)}")
    (x0, *_, x1), (y0, *_, y1) = (sorted(point[axis] for point in points) for axis in (0, 1))
    if not (x1 > x0 and y1 > y0):
        raise ValueError(f"the rectangle {x0:g}, {y0:g}, {x1:g}, {y1:g} has no extent")
    return [x0, y0, x1 - x0, y1 - y0]


def _mask(kind: str, parts: list[Json], size: tuple[int, int]) -> Rle | None:
    """The mask of shapes of one kind; None where they have no area."""
    if kind == "mask":
        return _picture_mask(parts[0], size)
    if kind == "circle":
        return _circle(points_at(parts[0], "points"), size)
    if kind not in _POLYGONS:
        return None
    polygons = [[value for point in points_at(part, "points") for value in point] for part in parts]
    return rle_from_segmentation(polygons, size[1], size[0])


def _picture_mask(shape: Json, size: tuple[int, int]) -> Rle:
    points = points_at(shape, "points")
    x0, y0 = (int(value) for value in points[0]) if points else (-1, -1)
    window = _decoded(text_at(shape, "mask"), size)
    height, width = window.shape
    if not (0 <= x0 <= size[0] - width and 0 <= y0 <= size[1] - height):
        raise ValueError("the mask does not lie inside the image")
    return rle_from_window(window, x0=x0, y0=y0, image_width=size[0], image_height=size[1])


def _decoded(text: str, size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """The pixels of a mask that is a PNG picture in base64, no larger than the image."""
    try:
        with picture_in(io.BytesIO(base64.b64decode(text, validate=True)), "the mask", None) as picture:
            if picture.width <= size[0] and picture.height <= size[1]:
                return np.asarray(picture if picture.mode in _MASK_MODES else picture.convert("L")) > 0
    except Exception as error:
        raise ValueError(f"the mask is no PNG picture in base64: {one_line(error)}") from error
    raise ValueError("the mask is larger than the image")


def _circle(points: list[tuple[float, float]], size: tuple[int, int]) -> Rle:
    """The mask of a LabelMe circle, given by its center and a point on it."""
    if len(points) != 2:
        raise ValueError(f"a circle has two points, this one has {len(points)}")
    (x, y), on_line = points
    if max(abs(value) for point in points for value in point) > _NEAR * max(size):
        raise ValueError("the circle holds a value that is not near the image")
    radius = math.dist(points[0], on_line)
    x0, x1 = (int(min(max(edge, 0), size[0])) for edge in (x - radius, x + radius + 1))
    y0, y1 = (int(min(max(edge, 0), size[1])) for edge in (y - radius, y + radius + 1))
    if x0 >= x1 or y0 >= y1:
        return empty_rle(*size)
    if (x1 - x0) * (y1 - y0) > MAX_IMAGE_PIXELS:
        raise ValueError(f"the circle has more than {MAX_IMAGE_PIXELS:,} pixels")
    columns, rows = np.arange(x0, x1) + 0.5, np.arange(y0, y1)[:, None] + 0.5
    window = (columns - x) ** 2 + (rows - y) ** 2 <= (on_line[0] - x) ** 2 + (on_line[1] - y) ** 2
    return rle_from_window(window, x0=x0, y0=y0, image_width=size[0], image_height=size[1])


def _score_and_attributes(shape: Json) -> Json:
    """The score and the attributes of a shape."""
    words = {key: shape[key] for key in _WORDS if shape.get(key)}
    score = shape.get("score")
    is_score = isinstance(score, (int, float)) and not isinstance(score, bool)
    return ({"score": score} if is_score else {}) | ({"attributes": words} if words else {})
