"""LabelMe: a JSON file beside each picture, as the tool of that name writes and reads it."""

from __future__ import annotations

import base64
import binascii
import io
import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from mal.data import json_in
from mal.data.coco import CocoFile
from mal.data.image_table import ImageRecord
from mal.data.images import image_path
from mal.data.json_out import write_json
from mal.errors import UserError
from mal.formats.builder import CocoBuilder
from mal.formats.by_image import EMPTY_MASK, AnnotatedImage, Annotation, Json, by_image, class_names
from mal.formats.options import ReadOptions, WriteOptions
from mal.formats.pictures import bring
from mal.formats.restore import carried, restored
from mal.formats.tally import Tally
from mal.formats.whole_folder import whole_folder
from mal.masks.polygons import flat, polygons_from_rle
from mal.masks.rle import Rle, mask_from_rle, rle_from_mask, rle_from_segmentation, rle_from_window

_VERSION = "5.5.0"  # the first that has masks has 5.2; LabelMe keeps keys that it does not know
_CARRIED = "mal"


def write_labelme(coco: CocoFile, out: Path, options: WriteOptions, tally: Tally) -> None:
    """Write a folder with a JSON file for each image, and ``labels.txt`` with the class names.

    Masks become shapes of the type "mask", exact in holes and parts; or polygons, all of one annotation with the same
    ``group_id``, holes joined by bridges. Annotations without a mask become rectangles. Each shape carries its record
    under the key "mal", which LabelMe keeps.

    Raises:
        UserError: a record is broken and the tally may not skip it, two images would share a file, or the folder
            cannot be written.
    """
    with whole_folder(out) as folder:
        for item in by_image(coco, tally):
            name = PurePosixPath(item.image.file_name)
            path = image_path(folder, name.with_suffix(".json").as_posix())
            if path.exists():
                raise UserError(f"two images would share {path.name}: rename one of them")
            shapes = [
                shape
                for number, annotation in enumerate(item.annotations, start=1)
                for shape in _shapes(annotation, number, item.image, options, tally)
            ]
            bring(item.image, options, image_path(folder, item.image.file_name))
            where = _picture_path(item.image, options, out, (out / name).parent)
            write_json(_document(item, shapes, where), path)
        names = class_names(coco)
        (folder / "labels.txt").write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
        tally.classes = len(names)
        tally.lost["keys of the file (info, licenses, keys of classes)"] += len(coco.document) - 2


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
            carrier = document.get(_CARRIED)
            record = dict(carrier) if isinstance(carrier, dict) else {}
            name = PurePosixPath(str(document["imagePath"]).replace("\\", "/")).name
            beside = (file.parent.relative_to(folder) / name).as_posix()
            builder.image(record.pop("file_name", beside), size, record)
            _read_shapes(document["shapes"], size, file, builder, tally)
        except (KeyError, TypeError, ValueError) as error:
            tally.broken(str(file), f"not a LabelMe file: {_reason(error)}")
    return builder.build(path, tally)


def _document(item: AnnotatedImage, shapes: list[Json], picture: str) -> Json:
    return {
        "version": _VERSION,
        "flags": {},
        "shapes": shapes,
        "imagePath": picture,
        "imageData": None,
        "imageHeight": item.image.height,
        "imageWidth": item.image.width,
        _CARRIED: item.record,
    }


def _picture_path(image: ImageRecord, options: WriteOptions, out: Path, folder: Path) -> str:
    """The picture as seen from its JSON file, which is how LabelMe finds it."""
    if options.images is None or options.pictures != "no":
        return PurePosixPath(image.file_name).name
    picture = image_path(options.images, image.file_name)
    return PurePosixPath(os.path.relpath(picture.absolute(), folder.absolute())).as_posix()


def _shapes(annotation: Annotation, number: int, image: ImageRecord, options: WriteOptions, tally: Tally) -> list[Json]:
    tally.count(has_mask=annotation.has_pixels)
    if annotation.rle is None or not annotation.has_pixels:
        if annotation.rle is not None:
            tally.changed[EMPTY_MASK].append(f"{annotation.name} of {image.file_name}")
        x, y, width, height = annotation.xywh
        corners = [[x, y], [x + width, y + height]]
        return [_shape(annotation, None, "rectangle", corners, carried(annotation.record, None))]
    if options.shapes == "masks" or annotation.is_group:
        return [_mask_shape(annotation, annotation.rle)]
    polygons = polygons_from_rle(annotation.rle, options.tolerance)
    written = rle_from_segmentation([flat(polygon) for polygon in polygons], image.height, image.width)
    carrier = carried(annotation.record, written)
    return [_shape(annotation, number, "polygon", polygon.tolist(), carrier) for polygon in polygons]


def _mask_shape(annotation: Annotation, rle: Rle) -> Json:
    mask = mask_from_rle(rle)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    x0, x1, y0, y1 = columns[0], columns[-1], rows[0], rows[-1]
    corners = [[float(x0), float(y0)], [float(x1), float(y1)]]  # LabelMe's window has its last row and column inside
    content = io.BytesIO()
    Image.fromarray(mask[y0 : y1 + 1, x0 : x1 + 1].astype(np.uint8)).save(content, "PNG")
    shape = _shape(annotation, None, "mask", corners, carried(annotation.record, rle))
    return shape | {"mask": base64.b64encode(content.getvalue()).decode("ascii")}


def _shape(annotation: Annotation, group: int | None, kind: str, points: Sequence[Any], carrier: Json) -> Json:
    return {
        "label": annotation.category,
        "points": points,
        "group_id": group,
        "description": "",
        "shape_type": kind,
        "flags": {},
        _CARRIED: carrier,
    }


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
    kind, label, carrier = first["shape_type"], str(first["label"]), first.get(_CARRIED)
    if kind == "rectangle":
        (x0, x1), (y0, y1) = (sorted(float(point[axis]) for point in first["points"]) for axis in (0, 1))
        record = dict(carrier["record"]) if isinstance(carrier, dict) else {}
        old = record.pop("bbox", None)
        box = [x0, y0, x1 - x0, y1 - y0]
        is_same = old is not None and np.allclose(old, box, atol=1e-6)
        builder.annotation(label, old if is_same else box, record)
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
    builder.annotation(label, *restored(carrier, rle, where, tally))


def _read_mask(shape: Json, size: tuple[int, int]) -> Rle:
    try:
        with Image.open(io.BytesIO(base64.b64decode(shape["mask"], validate=True))) as picture:
            window = np.asarray(picture) > 0
    except (binascii.Error, UnidentifiedImageError, OSError) as error:
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
