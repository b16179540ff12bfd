"""Edits between reading and writing: masks grown or shrunk, boxes tightened to their masks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mal.coco.coco_file import CocoFile, category_name
from mal.coco.tables import AnnotationTable, ImageRecord
from mal.files import write_csv
from mal.formats.by_image import Json, annotation_name, decode_mask
from mal.formats.tally import Tally
from mal.masks.grow import grown, mean_side, shrunk
from mal.masks.rle import Rle, rle_area, rle_extent

_VANISHED = "shrunk, the mask would be empty, so that it stays as it was"


@dataclass(frozen=True, slots=True)
class Distance:
    """How far the border of a mask moves.

    Attributes:
        value: pixels, or per cent of the mean of width and height of the box around the mask; above 0 outwards.
        is_percent: which of the two.
    """

    value: float
    is_percent: bool = False

    def pixels(self, rle: Rle) -> float:
        """The distance for a mask."""
        return self.value / 100 * mean_side(rle) if self.is_percent else self.value


@dataclass(frozen=True, slots=True)
class MaskEdits:
    """What is done to each annotation with a mask; groups (``iscrowd`` 1) stay as they are.

    Attributes:
        border: how far the border moves; None leaves masks as they are.
        tighten_boxes: whether boxes become those of the masks.
    """

    border: Distance | None = None
    tighten_boxes: bool = False


NO_EDITS = MaskEdits()


@dataclass(frozen=True, slots=True)
class BoxChange:
    """A box before and after it was tightened.

    Attributes:
        annotation_id, image_id: as in the file.
        file_name: of the image.
        category: name of the class.
        old: x, y, width, height in pixels; None where the annotation had no box.
        new: that of its mask.
    """

    annotation_id: Any
    image_id: Any
    file_name: str
    category: str
    old: tuple[float, float, float, float] | None
    new: tuple[float, float, float, float]

    @property
    def iou(self) -> float:
        """IoU of the two, 0..1."""
        if self.old is None:
            return 0.0
        width, height = (
            max(min(self.old[side] + self.old[side + 2], self.new[side] + self.new[side + 2]) - start, 0.0)
            for side, start in ((side, max(self.old[side], self.new[side])) for side in (0, 1))
        )
        both = width * height
        return both / (self.old[2] * self.old[3] + self.new[2] * self.new[3] - both)


def edited(coco: CocoFile, edits: MaskEdits, tally: Tally) -> tuple[CocoFile, list[BoxChange]]:
    """The file with other masks and boxes, in memory; and each box that has changed.

    A mask that is broken stays, for the writer to name.

    Args:
        coco: the file.
        edits: what to do.
        tally: notes masks that would vanish.
    """
    if edits == NO_EDITS:
        return coco, []
    changes: list[BoxChange] = []
    annotations = [
        _edited(record, coco, position, edits, tally, changes) for position, record in enumerate(coco.annotations)
    ]
    table = AnnotationTable(annotations, coco.images)
    return replace(coco, document=dict(coco.document) | {"annotations": annotations}, table=table), changes


def _edited(
    record: Any, coco: CocoFile, position: int, edits: MaskEdits, tally: Tally, changes: list[BoxChange]
) -> Any:
    row = int(coco.table.image_rows[position])
    if not isinstance(record, dict) or row < 0 or record.get("iscrowd") == 1:
        return record
    image = coco.images.at(row)
    rle = _readable_mask(record, image)
    if rle is None or not rle_area(rle):
        return record
    if edits.border is not None:
        rle, record = _with_border(
            record, rle, edits.border, f"{annotation_name(coco, position)} of {image.file_name}", tally
        )
    if not edits.tighten_boxes:
        return record
    xywh = coco.table.xywh[position].tolist()
    change = BoxChange(
        annotation_id=record.get("id"),
        image_id=image.id,
        file_name=image.file_name,
        category=category_name(coco, record.get("category_id")),
        old=tuple(xywh) if all(side == side for side in xywh) else None,
        new=rle_extent(rle),
    )
    if change.old == change.new:
        return record
    changes.append(change)
    return record | {"bbox": list(change.new)}


def _readable_mask(record: Json, image: ImageRecord) -> Rle | None:
    if not image.has_size:
        return None
    try:
        return decode_mask(record, image)
    except ValueError:  # the writer says it
        return None


def _with_border(record: Json, rle: Rle, border: Distance, name: str, tally: Tally) -> tuple[Rle, Json]:
    pixels = border.pixels(rle)
    moved = grown(rle, pixels) if pixels > 0 else shrunk(rle, -pixels)
    if not rle_area(moved):
        tally.changed[_VANISHED].append(name)
        return rle, record
    if moved == rle:
        return rle, record
    return moved, record | {"segmentation": moved, "area": rle_area(moved)}


_COLUMNS = (
    "annotation_id", "image_id", "file_name", "category",
    "old_x", "old_y", "old_width", "old_height",
    "new_x", "new_y", "new_width", "new_height", "iou",
)  # fmt: skip


def write_box_changes(changes: Sequence[BoxChange], path: Path) -> None:
    """Write the table of old and new boxes, x, y, width and height in pixels.

    Raises:
        UserError: the file cannot be written.
    """
    write_csv(_COLUMNS, _rows(changes), path)


def _rows(changes: Sequence[BoxChange]) -> Iterator[list[Any]]:
    for change in changes:
        old = change.old or (None,) * 4
        yield [
            change.annotation_id, change.image_id, change.file_name, change.category, *old, *change.new, change.iou
        ]  # fmt: skip
