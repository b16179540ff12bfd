"""From annotations to boxes that can be labelled; every annotation is either a box or named in a note."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from mal.data.coco import CocoFile, ImageRecord, category_is_known, is_id, show
from mal.data.notes import Action, RecordNote

__all__ = ["Box", "RecordNote", "select_boxes", "training_boxes"]

SizeRule = Literal["thin", "small", "large"]

# Writers round coordinates to two decimals: an overhang below that is no news to the user.
_ROUNDING = 0.01


@dataclass(frozen=True, slots=True)
class Box:
    """One annotation's box, ready to be cropped.

    Attributes:
        position: index in the file's ``annotations`` list; unique, while ids need not be.
        annotation_id: as in the file.
        image: the record of its image.
        category_id: as in the file; may be unknown to ``categories`` or None.
        xyxy: x0, y0, x1, y1 in float pixels of the full image, clipped to it, with x0 < x1 and y0 < y1.
        xywh: the box as the file has it, not clipped.
    """

    position: int
    annotation_id: Any
    image: ImageRecord
    category_id: Any
    xyxy: tuple[float, float, float, float]
    xywh: tuple[float, float, float, float]

    @property
    def visible_size(self) -> tuple[float, float]:
        """Width and height of the clipped box in pixels."""
        x0, y0, x1, y1 = self.xyxy
        x, y, width, height = self.xywh
        # The file's own numbers where nothing was cut off: x + width - x is not always width in floats.
        return (
            width if (x0, x1) == (x, x + width) else x1 - x0,
            height if (y0, y1) == (y, y + height) else y1 - y0,
        )

    @property
    def area(self) -> float:
        """Area of the clipped box in pixels of the image, which the size bins go by."""
        width, height = self.visible_size
        return width * height


class _UnusableError(Exception):
    """Why an annotation cannot be labelled."""


def select_boxes(coco: CocoFile) -> tuple[list[Box], list[RecordNote]]:
    """Choose what can be labelled.

    Returns:
        Boxes sorted by image, then by position; and notes in file order. An annotation without a box has exactly one
        "skipped" or "passed" note; a clipped one is a box and has a "clipped" note; "warned" notes come on top.
    """
    boxes: list[Box] = []
    notes: list[RecordNote] = []
    first_positions: dict[Any, int] = {}
    for position, record in enumerate(coco.annotations):
        if not isinstance(record, dict):
            notes.append(RecordNote(position, None, None, "skipped", f"the record is {show(record)}, not an object"))
            continue
        notes += [
            _note(record, position, "warned", reason) for reason in _oddities(coco, record, position, first_positions)
        ]
        if record.get("iscrowd") == 1:
            notes.append(_note(record, position, "passed", "iscrowd is 1: a group region is copied, not labelled"))
            continue
        try:
            box = _box(coco, record, position)
        except _UnusableError as unusable:
            notes.append(_note(record, position, "skipped", str(unusable)))
            continue
        boxes.append(box)
        if _sticks_out(box):
            reason = (
                f"bbox {show(record['bbox'])} reaches outside its image of {_size(box.image)}: limited to the image"
            )
            notes.append(_note(record, position, "clipped", reason))
    boxes.sort(key=lambda box: (box.image.position, box.position))
    return boxes, notes


def training_boxes(coco: CocoFile, *, min_obj_size: float, max_obj_size: float) -> tuple[list[Box], list[RecordNote]]:
    """Choose what to train on: `select_boxes`, and only boxes whose visible part is of a sensible size.

    Args:
        min_obj_size, max_obj_size: both excluded; square pixels of the visible part, w * h where nothing is cut off.

    Returns:
        Boxes as in `select_boxes`; its notes, and one more for each rule that leaves boxes out, with their number.
    """
    boxes, notes = select_boxes(coco)
    broken = [broken_size_rule(box, min_obj_size=min_obj_size, max_obj_size=max_obj_size) for box in boxes]
    for name, rule in size_rules(min_obj_size=min_obj_size, max_obj_size=max_obj_size).items():
        if count := broken.count(name):
            notes.append(RecordNote(None, None, None, "skipped", f"{count} boxes are not trained on: they {rule}"))
    return [box for box, rule in zip(boxes, broken, strict=True) if rule is None], notes


def broken_size_rule(box: Box, *, min_obj_size: float, max_obj_size: float) -> SizeRule | None:
    """The first of `size_rules` that a box breaks; None for a box to train on."""
    if min(box.visible_size) <= 2:
        return "thin"
    if box.area <= min_obj_size:
        return "small"
    return "large" if box.area >= max_obj_size else None


def size_rules(*, min_obj_size: float, max_obj_size: float) -> dict[SizeRule, str]:
    """What is wrong with boxes that are not trained on for their size, as the end of a sentence about "they"."""
    return {
        "thin": "are at most 2 pixels wide or high",
        "small": f"have an area of at most min_obj_size = {min_obj_size:g} square pixels",
        "large": f"have an area of at least max_obj_size = {max_obj_size:g} square pixels",
    }


def _note(record: dict[str, Any], position: int, action: Action, reason: str) -> RecordNote:
    return RecordNote(position, record.get("id"), record.get("image_id"), action, reason)


def _oddities(coco: CocoFile, record: dict[str, Any], position: int, first_positions: dict[Any, int]) -> list[str]:
    """What is worth a look, although the annotation is used as it is."""
    reasons = []
    annotation_id = record.get("id")
    if not is_id(annotation_id):
        reasons.append(f"the annotation has no usable id ({show(annotation_id)})")
    elif first_positions.setdefault(annotation_id, position) != position:
        first = first_positions[annotation_id]
        reasons.append(f"annotation id {show(annotation_id)} is used before, at annotations[{first}]: both are kept")
    category_id = record.get("category_id")
    if category_id is None:
        reasons.append("category_id is missing or null: kept without a class")
    elif not category_is_known(coco, category_id):
        reasons.append(f'category_id {show(category_id)} is not in "categories": kept as it is')
    return reasons


def _box(coco: CocoFile, record: dict[str, Any], position: int) -> Box:
    image = _image(coco, record.get("image_id"))
    x, y, w, h = xywh = _xywh(record)
    x0, y0 = max(x, 0.0), max(y, 0.0)
    x1, y1 = min(x + w, float(image.width)), min(y + h, float(image.height))
    if x0 >= x1 or y0 >= y1:
        raise _UnusableError(f"bbox {show(record['bbox'])} lies outside its image of {_size(image)}")
    return Box(position, record.get("id"), image, record.get("category_id"), (x0, y0, x1, y1), xywh)


def _image(coco: CocoFile, image_id: Any) -> ImageRecord:
    if not is_id(image_id):
        raise _UnusableError(f"image_id is {show(image_id)}, neither a number nor a text")
    if image_id in coco.unusable_images:
        raise _UnusableError(coco.unusable_images[image_id])
    if image_id not in coco.images:
        raise _UnusableError(f'image_id {show(image_id)} is not in "images"{_other_type(coco, image_id)}')
    image = coco.images[image_id]
    if not image.has_size:
        raise _UnusableError(f"image {show(image_id)} ({image.file_name}) has no valid width and height")
    return image


def _other_type(coco: CocoFile, image_id: int | float | str) -> str:
    """A hint where the image exists with the other type of id."""
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


def _sticks_out(box: Box) -> bool:
    x, y, w, h = box.xywh
    overhang = max(-x, -y, x + w - box.image.width, y + h - box.image.height)
    return overhang > _ROUNDING


def _size(image: ImageRecord) -> str:
    return f"{image.width} x {image.height}"
