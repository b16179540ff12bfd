"""Parts of a COCO file by picture: the pictures to train on, those held out, and the splits of a data set."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from mal.coco.coco_file import CocoFile, is_id
from mal.files import atomic_file, dumps, without_non_finite, write_object
from mal.formats.yolo_out import validation_images

HELD_OUT_SHARE = 0.1


def held_out_images(coco: CocoFile) -> set[Any]:
    """The ids of the pictures to hold out: a tenth of those with boxes, by a hash of their names.

    Adding pictures moves no other from one part to the other. Of a single picture nothing is held out.
    """
    rows = sorted({int(row) for row in coco.table.image_rows if row >= 0})
    names = {coco.images.at(row).id: _stem(coco.images.at(row).file_name) for row in rows}
    if len(set(names.values())) < 2:
        return set()
    chosen = validation_images(names.values(), HELD_OUT_SHARE)
    return {image_id for image_id, name in names.items() if name in chosen}


def write_subset(coco: CocoFile, wanted: Collection[Any], path: Path, names: Mapping[Any, str] | None = None) -> None:
    """Write the records of some pictures as a COCO file, streamed.

    Args:
        coco: the whole file.
        wanted: ids of the pictures.
        path: the file to write.
        names: other file names by id.

    Raises:
        UserError: the file cannot be written.
    """
    values = {key: value for key, value in coco.document.items() if key not in ("images", "annotations")}
    with atomic_file(path) as file:
        rest = [(key, _json(list(value) if _is_records(value) else value)) for key, value in values.items()]
        write_object(
            file, [("images", _images(coco, wanted, names or {})), ("annotations", _annotations(coco, wanted)), *rest]
        )


def _is_records(value: Any) -> bool:
    return not isinstance(value, (dict, str, int, float, bool, type(None)))


def _images(coco: CocoFile, wanted: Collection[Any], names: Mapping[Any, str]) -> Iterator[bytes]:
    for record in coco.document["images"]:
        image_id = record.get("id") if isinstance(record, dict) else None
        if is_id(image_id) and image_id in coco.images and image_id in wanted:
            image = coco.images[image_id]  # type: ignore[index]
            size = {"width": image.width, "height": image.height} if image.has_size else {}
            yield _json(record | size | ({"file_name": names[image_id]} if image_id in names else {}))


def _annotations(coco: CocoFile, wanted: Collection[Any]) -> Iterator[bytes]:
    for row, record in zip(coco.table.image_rows.tolist(), coco.annotations, strict=True):
        if row >= 0 and coco.images.at(row).id in wanted:
            yield _json(record)


def _json(value: Any) -> bytes:
    return dumps(without_non_finite(value)[0])


def _stem(name: str) -> PurePosixPath:
    path = PurePosixPath(name.replace("\\", "/"))
    return path.with_suffix("") if path.name else path
