"""Write zip archives for CVAT's "COCO 1.0" import (``annotations/instances_default.json``)."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from mal.coco.coco_file import CocoFile, show
from mal.files import atomic_file
from mal.formats.by_image import EMPTY_MASK, NO_CLASSES, Json, category_records
from mal.formats.coco_out import write_document
from mal.formats.folders import WriteOptions, source_picture
from mal.formats.output_names import OutputNames, RefusedName, relative_name
from mal.formats.tally import Tally
from mal.masks.rle import rle_area

_MEMBER = "annotations/instances_default.json"


def write_cvat(coco: CocoFile, out: Path, options: WriteOptions, tally: Tally) -> None:
    """Write an archive for CVAT's "COCO 1.0" import.

    CVAT (by way of Datumaro) takes ids as whole numbers only, an annotation id of 0 as "belongs to nothing" and a
    category id of 0 as "no class", and asks for ``iscrowd`` and ``bbox`` in every record. Ids that do not fit are
    replaced and reported; an old annotation id stays under ``attributes``. CVAT shows ``bbox`` where there is no mask,
    so empty masks are left out.

    Raises:
        UserError: as of `mal.formats.coco_out.write_coco`, or a picture is missing.
    """
    images = _IdNumbers("image", coco.images, tally)
    classes = _IdNumbers("category", coco.categories, tally)
    annotations = _IdNumbers("annotation", map(coco.table.ids.__getitem__, range(len(coco.table))), tally)

    def image(record: Json) -> Json:
        return record | {"id": images.assign(record["id"])}

    def annotation(record: Json) -> Json:
        number = annotations.assign(record.get("id"), once=True)
        if number != record.get("id"):
            record = record | {"attributes": _attributes(record) | {"id": record.get("id")}}
        category = classes.assign(record.get("category_id") if coco.categories else NO_CLASSES)
        ids = {"id": number, "image_id": images.assign(record["image_id"]), "category_id": category}
        if _is_empty(record.get("segmentation")):
            record = record | {"segmentation": []}
            tally.changed[EMPTY_MASK].append(f"annotation {show(record.get('id'))}")
        record = record | ({"attributes": _attributes(record)} if "attributes" in record else {})
        return {"segmentation": [], "bbox": []} | record | ids | {"iscrowd": int(record.get("iscrowd") == 1)}

    known = category_records(coco) or [{"id": NO_CLASSES, "name": NO_CLASSES}]
    categories = [record | {"id": classes.assign(record["id"])} for record in known]
    pictures, refused = _pictures(coco, options)
    with (
        atomic_file(out) as file,
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, allowZip64=True, strict_timestamps=False) as archive,
    ):
        with archive.open(_MEMBER, "w", force_zip64=True) as member:
            write_document(
                coco,
                member,  # type: ignore[arg-type]
                options,
                tally,
                change_image=image,
                change_annotation=annotation,
                categories=categories,
                refused=refused,
                needs_shape=True,
            )
        for name, source in pictures.items():
            archive.write(source, name, zipfile.ZIP_STORED)


def _pictures(coco: CocoFile, options: WriteOptions) -> tuple[dict[PurePosixPath, Path], dict[Any, str]]:
    """Pictures by their names in the archive, and why some images have none, by image id."""
    pictures: dict[PurePosixPath, Path] = {}
    refused: dict[Any, str] = {}
    taken = OutputNames(None)
    for image in coco.images.values() if options.pictures != "no" else ():
        try:
            file_name = relative_name(image.file_name, options.images)
            source = source_picture(file_name, options)
            name = taken.take(PurePosixPath("images/default", file_name), image.file_name)
        except RefusedName as refusal:
            refused[image.id] = str(refusal)
        else:
            assert source is not None
            pictures[name] = source
    return pictures, refused


def _attributes(record: Json) -> Json:
    """What CVAT calls attributes: an object, whatever else a record has under that key."""
    attributes = record.get("attributes") or {}
    return attributes if isinstance(attributes, dict) else {"attributes": attributes}


def _is_empty(segmentation: Any) -> bool:
    """Whether it is a mask, written by `write_document` as compressed RLE, without a pixel."""
    return isinstance(segmentation, dict) and isinstance(segmentation.get("counts"), str) and not rle_area(segmentation)  # type: ignore[arg-type]


class _IdNumbers:
    """Assign integer ids from 1: valid ids are kept, the others get the next free one.

    Args:
        kind: what is numbered, for the tally.
        ids: all of them.
    """

    def __init__(self, kind: str, ids: Iterable[Any], tally: Tally) -> None:
        self._next = max((value for value in ids if type(value) is int), default=0)
        self._seen: set[int] = set()
        self._new: dict[str, int] = {}
        self._changed = tally.changed[f"the {kind} id does not fit CVAT"]

    def assign(self, value: Any, *, once: bool = False) -> int:
        """Return the number for an id; with ``once`` each number is given to one record only."""
        if type(value) is int and value > 0 and not (once and value in self._seen):
            self._seen.add(value)
            return value
        if once or show(value) not in self._new:
            self._next = max(self._next, 0) + 1
            self._new[show(value)] = self._next
            self._changed.append(f"{show(value)} is {self._next}")
        return self._new[show(value)]
