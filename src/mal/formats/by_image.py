"""Iterate over a COCO file image by image, with checked annotations, for the writers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from pycocotools import mask as mask_utils

from mal.coco.coco_file import CocoFile, category_is_known, show
from mal.coco.lazy_json import JsonRecords
from mal.coco.tables import ImageRecord
from mal.errors import UserError, working_on
from mal.files import without_non_finite
from mal.formats.output_names import RefusedName, relative_name
from mal.formats.tally import Tally
from mal.masks.rle import Rle, rle_area, rle_from_segmentation

Json = dict[str, Any]

NO_BOX = "its bbox is no box of four numbers with an extent"
NO_SUCH_CATEGORY = "its category is not in the list of categories"
EMPTY_MASK = "an empty mask is shown as its box"
NO_CLASSES = "object"  # the class of all annotations where a file has no list of classes


@dataclass(frozen=True, slots=True)
class Annotation:
    """One valid annotation.

    Attributes:
        record: as in the file.
        class_row: its class, counted from 0 in the file's order.
        category: its name.
        xywh: its box in pixels; that of the mask where the file has none.
        rle: its mask, possibly empty; None if it has none.
        name: for messages.
    """

    record: Json
    class_row: int
    category: str
    xywh: list[float]
    rle: Rle | None
    name: str

    @property
    def is_group(self) -> bool:
        """Whether ``iscrowd`` is 1."""
        return self.record.get("iscrowd") == 1

    @property
    def has_pixels(self) -> bool:
        """Whether there is a mask that is not empty."""
        return self.rle is not None and rle_area(self.rle) > 0


@dataclass(frozen=True, slots=True)
class AnnotatedImage:
    """An image with its annotations in the order of the file.

    Attributes:
        image, record: as in the file.
        file_name: of its picture, below the folder of the pictures: the name to make names of output from.
        annotations: the valid ones.
        where: file and image, for messages.
    """

    image: ImageRecord
    record: Json
    file_name: PurePosixPath
    annotations: list[Annotation]
    where: str


def class_names(coco: CocoFile) -> list[str]:
    """Names of the classes in the file's order.

    Raises:
        UserError: two have the same, which formats that go by names cannot tell apart.
    """
    names = list(coco.categories.values()) or [NO_CLASSES]
    for name, count in Counter(names).items():
        if count > 1:
            raise UserError(f"{coco.path}: {count} categories have the name {show(name)}: give them different ones")
    return names


def category_records(coco: CocoFile) -> list[Json]:
    """The records of the usable classes, with all their keys."""
    records = coco.document.get("categories")
    listed = records if isinstance(records, (list, JsonRecords)) else ()
    known = {show(record.get("id")): record for record in listed if isinstance(record, dict)}
    return [
        {**known.get(show(category_id), {}), "id": category_id, "name": name}
        for category_id, name in coco.categories.items()
    ]


def strict(value: Any, coco: CocoFile, tally: Tally) -> Any:
    """Make a JSON value strict: null for NaN and infinite numbers, which the tally counts."""
    if coco.strict_json:
        return value
    finite, count = without_non_finite(value)
    if count:
        tally.lost["NaN and infinite numbers, which are written as null"] += count
    return finite


def by_image(
    coco: CocoFile, tally: Tally, images: Path | None = None, *, max_pixels: int | None = None
) -> Iterator[AnnotatedImage]:
    """Yield every usable image in file order, also those without annotations. `written` counts them.

    Args:
        coco: the file.
        tally: notes what is broken.
        images: the folder of the pictures, for absolute file names.
        max_pixels: of an image that a format makes pictures of; None for formats that make none.

    Raises:
        UserError: an image or an annotation is broken, unless the tally may skip it.
    """
    rows = coco.table.image_rows
    names = class_names(coco)
    class_rows = {category_id: row for row, category_id in enumerate(coco.categories)}
    order = np.argsort(rows, kind="stable")
    starts = np.searchsorted(rows[order], np.arange(len(coco.images) + 1))
    for image_id, reason in coco.unusable_images.items():
        tally.broken(f"{coco.path}: image {show(image_id)}", reason)
    for position in order[: starts[0]].tolist():
        where = annotation_name(coco, position)
        tally.broken(f"{coco.path}: {where}", "its image is not in the file or cannot be used")
    for row in range(len(coco.images)):
        image = coco.images.at(row)
        positions = order[starts[row] : starts[row + 1]].tolist()
        where = f"{coco.path}: image {show(image.file_name, limit=300)}"
        try:
            _require_size(image, coco, max_pixels)
            file_name = relative_name(image.file_name, images)
        except RefusedName as refusal:
            _leave_out(where, [annotation_name(coco, position) for position in positions], str(refusal), tally)
            continue
        found = (_annotation(coco, position, image, names, class_rows, tally) for position in positions)
        record = strict(coco.document["images"][image.position], coco, tally)
        sound = [annotation for annotation in found if annotation is not None]
        yield AnnotatedImage(image, record, file_name, sound, where)


@contextmanager
def written(item: AnnotatedImage, tally: Tally) -> Iterator[None]:
    """Wrap the writing of an image: count it, or leave it out if one of its file names is refused.

    Raises:
        UserError: a name is refused, unless the tally may skip the image.
    """
    try:
        with working_on(item.where):
            yield
    except RefusedName as refusal:
        _leave_out(item.where, [annotation.name for annotation in item.annotations], str(refusal), tally)
    else:
        tally.images += 1


def _leave_out(where: str, annotations: list[str], reason: str, tally: Tally) -> None:
    tally.broken(where, reason)
    for name in annotations:
        tally.broken(f"{where}, {name}", reason)


def _require_size(image: ImageRecord, coco: CocoFile, max_pixels: int | None) -> None:
    """Check that an image has a size that files can be made for.

    Raises:
        RefusedName: it has none.
    """
    if image.id in coco.oversized_images:
        raise RefusedName(coco.oversized_images[image.id])
    if max_pixels is not None and image.width * image.height > max_pixels:
        raise RefusedName(f"its {image.width} x {image.height} pixels are more than the {max_pixels:,} of a picture")
    if not image.has_size:
        raise RefusedName("the size of its image is not known; --images DIR takes it from the picture")


def annotation_name(coco: CocoFile, position: int) -> str:
    """Name an annotation in messages."""
    return f"annotation {show(coco.table.ids[position])}"


def _annotation(
    coco: CocoFile, position: int, image: ImageRecord, names: list[str], class_rows: dict[Any, int], tally: Tally
) -> Annotation | None:
    record = strict(coco.annotations[position], coco, tally)
    name = annotation_name(coco, position)
    where = f"{coco.path}: {name} of {image.file_name}"
    category_id = record.get("category_id")
    if not category_is_known(coco, category_id):
        tally.broken(f"{where}, category_id {show(category_id)}", NO_SUCH_CATEGORY)
        return None
    try:
        rle = decode_mask(record, image)
    except ValueError as error:
        tally.broken(where, f"its mask cannot be read: {error}")
        return None
    xywh = coco.table.xywh[position]
    if np.isnan(xywh).any():
        if rle is None or not rle_area(rle):
            tally.broken(f"{where}, bbox {show(record.get('bbox'))}", NO_BOX)
            return None
        xywh = mask_utils.toBbox(rle)
    row = class_rows[category_id] if class_rows else 0
    return Annotation(record, row, names[row], xywh.tolist(), rle, name)


def decode_mask(record: Json, image: ImageRecord) -> Rle | None:
    """Decode the mask of a record; None if it has none.

    Raises:
        ValueError: it cannot be read.
    """
    segmentation = record.get("segmentation")
    return rle_from_segmentation(segmentation, image.height, image.width) if segmentation else None
