"""Write COCO files: masks as RLE or polygons, everything else unchanged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from mal.coco.coco_file import CocoFile, category_is_known, is_id, show
from mal.coco.lazy_json import JsonRecords
from mal.errors import working_on
from mal.files import atomic_file, dumps, write_object
from mal.formats.by_image import NO_BOX, NO_SUCH_CATEGORY, Json, annotation_name, decode_mask, strict
from mal.formats.folders import WriteOptions
from mal.formats.outlines import has_few_corners, outline
from mal.formats.tally import Tally
from mal.masks.polygons import flat
from mal.masks.rle import rle_area

Change = Callable[[Json], Json]


def write_coco(coco: CocoFile, out: Path, options: WriteOptions, tally: Tally) -> None:
    """Write a COCO file, streamed.

    Ids, order and all keys of the records are kept. Masks become compressed RLE, or polygons
    (`mal.formats.outlines.outline`); polygons of the input stay as they were drawn unless they have more corners than
    the options allow, and so do the masks of groups (``iscrowd`` 1). ``area`` is added where it is missing.

    Raises:
        UserError: an annotation is broken and the tally may not skip it, or ``out`` cannot be written.
    """
    with atomic_file(out) as file:
        write_document(coco, file, options, tally)


def write_document(
    coco: CocoFile,
    file: BinaryIO,
    options: WriteOptions,
    tally: Tally,
    *,
    change_image: Change = dict,
    change_annotation: Change = dict,
    categories: list[Json] | None = None,
    refused: Mapping[Any, str] | None = None,
    needs_shape: bool = False,
) -> None:
    """Write the JSON of `write_coco` to an open file.

    Args:
        coco, options, tally: as of `write_coco`.
        file: where to write.
        change_image, change_annotation: made to each record before it is written.
        categories: in place of those of the file.
        refused: reasons to leave images out with their annotations, by image id.
        needs_shape: an annotation with neither a mask nor a sound box is broken.
    """
    values = dict(coco.document)
    if categories is not None:
        values["categories"] = categories
    values["images"] = (change_image(record) for record in _images(coco, tally, refused or {}))
    values["annotations"] = _annotations(
        coco, options, tally, refused or {}, change_annotation, needs_shape=needs_shape
    )
    write_object(file, ((key, _as_json(value, coco, tally)) for key, value in values.items()))
    tally.classes = len(coco.categories if categories is None else categories)


def _as_json(value: Any, coco: CocoFile, tally: Tally) -> bytes | Iterator[bytes]:
    if isinstance(value, (JsonRecords, Iterator)):
        return (dumps(strict(record, coco, tally)) for record in value)
    return dumps(strict(value, coco, tally))


def _images(coco: CocoFile, tally: Tally, refused: Mapping[Any, str]) -> Iterator[Json]:
    for position, record in enumerate(coco.document["images"]):
        image_id = record.get("id") if isinstance(record, dict) else None
        if not is_id(image_id) or image_id not in coco.images:
            reason = coco.unusable_images.get(image_id) if is_id(image_id) else None  # type: ignore[arg-type]
            tally.broken(f"{coco.path}: images[{position}]", reason or f"it has no usable id ({show(image_id)})")
            continue
        image = coco.images[image_id]  # type: ignore[index]
        if image.id in refused:
            tally.broken(f"{coco.path}: image {show(image.file_name, limit=300)}", refused[image.id])
            continue
        tally.images += 1
        yield record | ({"width": image.width, "height": image.height} if image.has_size else {})


def _annotations(
    coco: CocoFile,
    options: WriteOptions,
    tally: Tally,
    refused: Mapping[Any, str],
    change: Change,
    *,
    needs_shape: bool,
) -> Iterator[Json]:
    for position, record in enumerate(coco.annotations):
        where = f"{coco.path}: {annotation_name(coco, position)}"
        if not isinstance(record, dict) or coco.table.image_rows[position] < 0:
            tally.broken(where, "its image is not in the file or cannot be used")
            continue
        if record.get("image_id") in refused:
            tally.broken(where, refused[record["image_id"]])
            continue
        if not category_is_known(coco, record.get("category_id")):
            tally.broken(f"{where}, category_id {show(record.get('category_id'))}", NO_SUCH_CATEGORY)
            continue
        if needs_shape and not record.get("segmentation") and np.isnan(coco.table.xywh[position]).any():
            tally.broken(f"{where}, bbox {show(record.get('bbox'))}", NO_BOX)
            continue
        try:
            with working_on(where):
                result = _with_shape(record, coco, position, options, tally)
                changed = change(result)
        except ValueError as error:
            tally.broken(where, f"its mask cannot be read: {error}")
            continue
        tally.count(has_mask=bool(result.get("segmentation")))
        yield changed


def _with_shape(record: Json, coco: CocoFile, position: int, options: WriteOptions, tally: Tally) -> Json:
    segmentation = record.get("segmentation")
    if not segmentation:
        return record
    if options.shapes == "polygons" and isinstance(segmentation, list) and has_few_corners(segmentation, options):
        return record
    image = coco.images.at(int(coco.table.image_rows[position]))
    if image.id in coco.oversized_images:
        raise ValueError(coco.oversized_images[image.id])
    if not image.has_size:
        raise ValueError("the size of its image is not known; --images DIR takes it from the picture")
    rle = decode_mask(record, image)
    assert rle is not None
    if record.get("iscrowd") == 1:
        return record
    result = {"area": rle_area(rle)} | record
    if options.shapes == "masks":
        return result | {"segmentation": rle}
    name = f"{annotation_name(coco, position)} of {image.file_name}"
    polygons = [flat(polygon) for polygon in outline(rle, options, tally, name)]
    if not polygons:
        tally.changed["an empty mask, which polygons cannot say, became no mask"].append(
            annotation_name(coco, position)
        )
    return result | {"segmentation": polygons}
