"""Check single annotations: notes on boxes that are skipped, failed, passed, clipped or suspect."""

from __future__ import annotations

from typing import Any

from mal.coco.coco_file import CocoFile, category_is_known, is_id, show
from mal.coco.notes import Action, RecordNote
from mal.coco.tables import ImageRecord

# Writers round coordinates to two decimals: a smaller overhang is not worth a note.
ROUNDING = 0.01


class _UnusableError(Exception):
    """An annotation cannot be labeled; says why, and whether the image or the annotation is at fault."""

    def __init__(self, reason: str, action: Action = "skipped") -> None:
        super().__init__(reason)
        self.action = action


def find_box_notes(coco: CocoFile, position: int, *, first_position: int) -> list[RecordNote]:
    """Find the notes on one annotation; a valid box has none.

    Args:
        coco: the file.
        position: of the annotation.
        first_position: of the first annotation with the same id.

    Returns:
        "warned" notes, and at last "skipped", "failed" or "passed" if it is no box, or "clipped" if it is one that
        reaches out of its image.
    """
    record = coco.annotations[position]
    if not isinstance(record, dict):
        return [RecordNote(position, None, None, "skipped", f"the record is {show(record)}, not an object")]
    notes = [_note(record, position, "warned", reason) for reason in _oddities(coco, record, position, first_position)]
    if record.get("iscrowd") == 1:
        return [*notes, _note(record, position, "passed", "iscrowd is 1: a group region is copied, not labelled")]
    try:
        clipping = _clipping(record, _image(coco, record.get("image_id")))
    except _UnusableError as unusable:
        return [*notes, _note(record, position, unusable.action, str(unusable))]
    return [*notes, _note(record, position, "clipped", clipping)] if clipping else notes


def _note(record: dict[str, Any], position: int, action: Action, reason: str) -> RecordNote:
    return RecordNote(position, record.get("id"), record.get("image_id"), action, reason)


def _oddities(coco: CocoFile, record: dict[str, Any], position: int, first_position: int) -> list[str]:
    """Reasons for "warned" notes; the annotation is still used unchanged."""
    reasons = []
    annotation_id = record.get("id")
    if not is_id(annotation_id):
        reasons.append(f"the annotation has no usable id ({show(annotation_id)})")
    elif first_position != position:
        reasons.append(
            f"annotation id {show(annotation_id)} is used before, at annotations[{first_position}]: both are kept"
        )
    category_id = record.get("category_id")
    if category_id is None:
        reasons.append("category_id is missing or null: kept without a class")
    elif not category_is_known(coco, category_id):
        reasons.append(f'category_id {show(category_id)} is not in "categories": kept as it is')
    is_crowd = record.get("iscrowd", 0)
    if is_crowd not in (0, 1):
        reasons.append(f"iscrowd is {show(is_crowd)}, neither 0 nor 1: taken as 0, a single object")
    return reasons


def _clipping(record: dict[str, Any], image: ImageRecord) -> str | None:
    """Describe what clipping to the image removes; None if it is within rounding."""
    x, y, w, h = _xywh(record)
    if min(x + w, image.width) <= max(x, 0) or min(y + h, image.height) <= max(y, 0):
        raise _UnusableError(f"bbox {show(record['bbox'])} lies outside its image of {_size(image)}")
    overhang = max(-x, -y, x + w - image.width, y + h - image.height)
    if overhang <= ROUNDING:
        return None
    return f"bbox {show(record['bbox'])} reaches outside its image of {_size(image)}: limited to the image"


def _image(coco: CocoFile, image_id: Any) -> ImageRecord:
    if not is_id(image_id):
        raise _UnusableError(f"image_id is {show(image_id)}, neither a number nor a text")
    if image_id in coco.unusable_images:
        raise _UnusableError(coco.unusable_images[image_id])
    if image_id not in coco.images:
        raise _UnusableError(f'image_id {show(image_id)} is not in "images"{_other_type(coco, image_id)}')
    image = coco.images[image_id]
    if image_id in coco.oversized_images:
        raise _UnusableError(coco.oversized_images[image_id], "failed")
    if not image.has_size:
        raise _UnusableError(f"image {show(image_id)} ({image.file_name}) has no valid width and height")
    return image


def _other_type(coco: CocoFile, image_id: int | float | str) -> str:
    """Hint that the image exists under an id of the other type (number or string)."""
    if isinstance(image_id, str):
        twin: Any = int(image_id) if image_id.isdecimal() else None
    else:
        twin = str(image_id)
    return f", which has {show(twin)}: numbers and texts are different ids" if twin in coco.images else ""


def _xywh(record: dict[str, Any]) -> tuple[float, float, float, float]:
    bbox = record.get("bbox")
    if bbox is None:
        raise _UnusableError("bbox is null" if "bbox" in record else "the annotation has no bbox")
    if not isinstance(bbox, list) or len(bbox) != 4:
        raise _UnusableError(f"bbox {show(bbox)} is not a list of four numbers x, y, width, height")
    if not all(_is_finite_number(value) for value in bbox):
        raise _UnusableError(f"bbox {show(bbox)} holds a value that is not a finite number")
    x, y, w, h = (float(value) for value in bbox)
    if w <= 0 or h <= 0:
        raise _UnusableError(f"bbox {show(bbox)} has no extent: width and height must be above 0")
    return x, y, w, h


def _is_finite_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return -1e300 < value < 1e300


def _size(image: ImageRecord) -> str:
    return f"{image.width} x {image.height}"
