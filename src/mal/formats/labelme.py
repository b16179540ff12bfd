"""Write LabelMe: one JSON file per image."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from mal.coco.coco_file import CocoFile, show
from mal.coco.tables import ImageRecord
from mal.files import dumps
from mal.formats.builder import CARRIED, carried
from mal.formats.by_image import EMPTY_MASK, AnnotatedImage, Annotation, Json, by_image, class_names, written
from mal.formats.folders import WriteOptions, bring, source_picture, whole_folder
from mal.formats.outlines import outline
from mal.formats.output_names import OutputNames
from mal.formats.tally import Tally
from mal.masks.polygons import flat
from mal.masks.rle import Rle, mask_from_rle, rle_from_segmentation

LABELS = "labels.txt"
_VERSION = "5.5.0"  # the first that has masks has 5.2; LabelMe keeps keys that it does not know


def write_labelme(coco: CocoFile, out: Path, options: WriteOptions, tally: Tally) -> None:
    """Write a folder with a JSON file for each image, and ``labels.txt`` with the class names.

    Masks become shapes of the type "mask", with exact components and holes; or polygons, all of one annotation with the
    same ``group_id``, holes joined by bridges. Annotations without a mask become rectangles. Each shape carries its
    record under the key "mal", which LabelMe keeps.

    Raises:
        UserError: a record is broken and the tally may not skip it, two images would share a file, or the folder
            cannot be written.
    """
    with whole_folder(out) as folder:
        taken = OutputNames(folder, [LABELS])
        for item in by_image(coco, tally, options.images):
            with written(item, tally):
                _write_image(item, taken, out, options, tally)
        names = class_names(coco)
        (folder / LABELS).write_text("".join(f"{name}\n" for name in _lines(names, tally)), encoding="utf-8")
        tally.classes = len(names)
        tally.lost["keys of the file (info, licenses, keys of classes)"] += len(coco.document) - 2


def _lines(names: list[str], tally: Tally) -> Iterator[str]:
    """The names that are one line each; the others are noted."""
    for name in names:
        if name.splitlines() == [name]:
            yield name
        else:
            tally.changed[f"its name is not one line, so that {LABELS} lacks the class"].append(f"class {show(name)}")


def _write_image(item: AnnotatedImage, taken: OutputNames, out: Path, options: WriteOptions, tally: Tally) -> None:
    path = taken.take_path(item.file_name.with_suffix(".json"), item.image.file_name)
    source = source_picture(item.file_name, options)
    if source is not None:
        bring(source, taken.take_path(item.file_name, item.image.file_name), options)
    shapes = [
        shape
        for number, annotation in enumerate(item.annotations, start=1)
        for shape in _shapes(annotation, number, item.image, options, tally)
    ]
    picture = _picture_path(item.file_name, options, (out / item.file_name).parent)
    path.write_bytes(dumps(_document(item, shapes, picture), indent=True) + b"\n")


def _document(item: AnnotatedImage, shapes: list[Json], picture: str) -> Json:
    return {
        "version": _VERSION,
        "flags": {},
        "shapes": shapes,
        "imagePath": picture,
        "imageData": None,
        "imageHeight": item.image.height,
        "imageWidth": item.image.width,
        CARRIED: item.record,
    }


def _picture_path(file_name: PurePosixPath, options: WriteOptions, folder: Path) -> str:
    """The picture as seen from the folder of its JSON file, which is how LabelMe finds it."""
    if options.images is None or options.pictures != "no":
        return file_name.name
    picture = options.images / file_name
    return PurePosixPath(os.path.relpath(picture.absolute(), folder.absolute())).as_posix()


def _shapes(annotation: Annotation, number: int, image: ImageRecord, options: WriteOptions, tally: Tally) -> list[Json]:
    tally.count(has_mask=annotation.has_pixels)
    if annotation.rle is None or not annotation.has_pixels:
        if annotation.rle is not None:
            tally.changed[EMPTY_MASK].append(f"{annotation.name} of {image.file_name}")
        x, y, width, height = annotation.xywh
        corners = [[x, y], [x + width, y + height]]
        return [_shape(annotation, None, "rectangle", corners, carried(annotation, None))]
    if options.shapes == "masks" or annotation.is_group:
        return [_mask_shape(annotation, annotation.rle)]
    polygons = outline(annotation.rle, options, tally, f"{annotation.name} of {image.file_name}")
    written = rle_from_segmentation([flat(polygon) for polygon in polygons], image.height, image.width)
    carrier = carried(annotation, written)
    return [_shape(annotation, number, "polygon", polygon.tolist(), carrier) for polygon in polygons]


def _mask_shape(annotation: Annotation, rle: Rle) -> Json:
    mask = mask_from_rle(rle)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    x0, x1, y0, y1 = columns[0], columns[-1], rows[0], rows[-1]
    corners = [[float(x0), float(y0)], [float(x1), float(y1)]]  # LabelMe's window has its last row and column inside
    content = io.BytesIO()
    Image.fromarray(mask[y0 : y1 + 1, x0 : x1 + 1].astype(np.uint8)).save(content, "PNG")
    shape = _shape(annotation, None, "mask", corners, carried(annotation, rle))
    return shape | {"mask": base64.b64encode(content.getvalue()).decode("ascii")}


def _shape(annotation: Annotation, group: int | None, kind: str, points: Sequence[Any], carrier: Json) -> Json:
    return {
        "label": annotation.category,
        "points": points,
        "group_id": group,
        "description": "",
        "shape_type": kind,
        "flags": {},
        CARRIED: carrier,
    }
