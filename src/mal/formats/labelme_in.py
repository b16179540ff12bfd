"""Read LabelMe: a JSON file beside each picture."""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from mal.data import json_in
from mal.data.coco import CocoFile
from mal.data.picture_file import picture_in
from mal.errors import UserError
from mal.formats.builder import CocoBuilder
from mal.formats.by_image import Json
from mal.formats.options import ReadOptions
from mal.formats.restore import CARRIED, restored, restored_box
from mal.formats.tally import Tally
from mal.masks.rle import Rle, rle_from_mask, rle_from_segmentation, rle_from_window

_SAME = 1e-6  # pixels that the side of an unedited box may differ by, after sums and differences of corners


def read_labelme(path: Path, options: ReadOptions, tally: Tally) -> CocoFile:
    """Read one JSON file, or all in a folder and below it.

    Polygons, rectangles, circles and masks become annotations; polygons of the same label and ``group_id`` become one.
    Other shapes (points, lines) are left out and counted.

    Raises:
        UserError: a file is broken; it is named.
    """
    files = [path] if path.is_file() else sorted(path.rglob("*.json"))
    folder = path.parent if path.is_file() else path
    names = folder / "labels.txt"
    builder = CocoBuilder(names.read_text(encoding="utf-8").splitlines() if names.is_file() else ())
    for file in files:
        try:
            document = _loaded(file)
            size = (int(document["imageWidth"]), int(document["imageHeight"]))
            carrier = document.get(CARRIED)
            record = dict(carrier) if isinstance(carrier, dict) else {}
            name = PurePosixPath(str(document["imagePath"]).replace("\\", "/")).name
            beside = (file.parent.relative_to(folder) / name).as_posix()
            builder.image(record.pop("file_name", beside), size, record)
            _read_shapes(document["shapes"], size, file, builder, tally)
        except (KeyError, TypeError, ValueError) as error:
            tally.broken(str(file), f"not a LabelMe file: {_reason(error)}")
    return builder.build(path, tally)


def _loaded(file: Path) -> Json:
    try:
        document, _ = json_in.loads(file.read_bytes())
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror or error}") from error
    if not isinstance(document, dict):
        raise ValueError("the top level is no object")
    return document


def _read_shapes(shapes: Sequence[Json], size: tuple[int, int], file: Path, builder: CocoBuilder, tally: Tally) -> None:
    groups: dict[Any, list[Json]] = {}
    places: dict[Any, str] = {}
    for number, shape in enumerate(shapes):
        is_part = shape.get("group_id") is not None and shape.get("shape_type") == "polygon"
        key = (shape.get("label"), shape["group_id"]) if is_part else number
        groups.setdefault(key, []).append(shape)
        places.setdefault(key, f"{file}, shape {number}")
    for key, parts in groups.items():
        try:
            _read_annotation(parts, size, places[key], builder, tally)
        except (KeyError, TypeError, ValueError) as error:
            tally.broken(places[key], _reason(error))


def _read_annotation(parts: list[Json], size: tuple[int, int], where: str, builder: CocoBuilder, tally: Tally) -> None:
    first = parts[0]
    kind, label, carrier = first["shape_type"], str(first["label"]), first.get(CARRIED)
    if kind == "rectangle":
        (x0, x1), (y0, y1) = (sorted(float(point[axis]) for point in first["points"]) for axis in (0, 1))
        box = [x0, y0, x1 - x0, y1 - y0]
        builder.annotation(label, *restored_box(carrier, box, where, tally, label, _SAME))
        return
    if kind == "mask":
        rle = _read_mask(first, size)
    elif kind == "polygon":
        polygons = [[float(value) for point in part["points"] for value in point] for part in parts]
        rle = rle_from_segmentation(polygons, size[1], size[0])
    elif kind == "circle":
        rle = _circle(first["points"], size)
    else:
        tally.left_out[f"shapes of the type {kind} have no area"].append(where)
        return
    builder.annotation(label, *restored(carrier, rle, where, tally, label))


def _read_mask(shape: Json, size: tuple[int, int]) -> Rle:
    try:
        content = io.BytesIO(base64.b64decode(shape["mask"], validate=True))
        with picture_in(content, "the mask") as picture:
            window = np.asarray(picture) > 0
    except (binascii.Error, UserError, OSError) as error:
        raise ValueError(f"the mask is no PNG picture in base64: {error}") from error
    x0, y0 = (int(value) for value in shape["points"][0])
    height, width = window.shape
    if not (0 <= x0 <= size[0] - width and 0 <= y0 <= size[1] - height):
        raise ValueError("the mask does not lie inside the image")
    return rle_from_window(window, x0=x0, y0=y0, image_width=size[0], image_height=size[1])


def _circle(points: Sequence[Sequence[float]], size: tuple[int, int]) -> Rle:
    """LabelMe's circle: its centre, and a point on its line."""
    (x, y), (on_x, on_y) = points
    columns, rows = np.arange(size[0]) + 0.5, np.arange(size[1])[:, None] + 0.5
    return rle_from_mask((columns - x) ** 2 + (rows - y) ** 2 <= (on_x - x) ** 2 + (on_y - y) ** 2)


def _reason(error: Exception) -> str:
    return f"the key {error} is missing" if isinstance(error, KeyError) else str(error)
