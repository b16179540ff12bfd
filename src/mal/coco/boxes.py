"""Select the boxes to label or to train on; every other annotation gets a note."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, overload

import numpy as np
import numpy.typing as npt

from mal.coco.box_conventions import BoxSuspicion, suspicion
from mal.coco.box_notes import ROUNDING, find_box_notes
from mal.coco.coco_file import CocoFile, is_id
from mal.coco.notes import RecordNote
from mal.coco.tables import AnnotationTable, ImageRecord, ImageTable, JsonColumn


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
        width, height = _visible_sizes(np.array([self.xyxy]), np.array([self.xywh]))[0].tolist()
        return width, height

    @property
    def area(self) -> float:
        """Area of the clipped box in image pixels; decides its size bin."""
        width, height = self.visible_size
        return width * height


class Boxes(Sequence[Box]):
    """Boxes stored in arrays; a `Box` is created on access.

    Forked workers share the arrays with the parent process, because they are never written to.

    Args:
        annotations: all of the file.
        images: all of the file.
        positions: (N,) int64, the annotations that are boxes, in the order wanted.
        xyxy: (N, 4) float64, these boxes clipped to their images.

    Attributes:
        positions, xyxy: as given.
    """

    def __init__(
        self,
        annotations: AnnotationTable,
        images: ImageTable,
        positions: npt.NDArray[np.int64],
        xyxy: npt.NDArray[np.float64],
    ) -> None:
        self._annotations = annotations
        self._images = images
        self.positions = positions
        self.xyxy = xyxy

    def __len__(self) -> int:
        return len(self.positions)

    @overload
    def __getitem__(self, index: int) -> Box: ...

    @overload
    def __getitem__(self, index: slice) -> list[Box]: ...

    def __getitem__(self, index: int | slice) -> Box | list[Box]:
        rows = range(len(self))[index]
        return self._box(rows) if isinstance(rows, int) else [self._box(row) for row in rows]

    def _box(self, row: int) -> Box:
        position = int(self.positions[row])
        return Box(
            position=position,
            annotation_id=self._annotations.ids[position],
            image=self._images.at(int(self._annotations.image_rows[position])),
            category_id=self._annotations.category_ids[position],
            xyxy=tuple(self.xyxy[row].tolist()),
            xywh=tuple(self._annotations.xywh[position].tolist()),
        )

    @property
    def visible_sizes(self) -> npt.NDArray[np.float64]:
        """(N, 2): width and height of the clipped boxes in pixels."""
        return _visible_sizes(self.xyxy, self._annotations.xywh[self.positions])

    @property
    def has_mask(self) -> npt.NDArray[np.bool_]:
        """(N,) bool: whether the file has masks for these boxes, readable or not."""
        return self._annotations.has_mask[self.positions]

    @property
    def image_rows(self) -> npt.NDArray[np.int64]:
        """(N,) int64: the same number for boxes of the same image."""
        return self._annotations.image_rows[self.positions]

    @property
    def images(self) -> list[ImageRecord]:
        """The images that hold these boxes, in file order."""
        return [self._images.at(row) for row in np.unique(self.image_rows).tolist()]

    def take(self, rows: npt.NDArray[np.int64]) -> Boxes:
        """These boxes, in this order."""
        return Boxes(self._annotations, self._images, self.positions[rows], self.xyxy[rows])


def _visible_sizes(xyxy: npt.NDArray[np.float64], xywh: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    start, end, size = xyxy[:, :2], xyxy[:, 2:], xywh[:, 2:]
    whole = (start == xywh[:, :2]) & (end == xywh[:, :2] + size)
    # The file's own numbers where nothing was cut off: x + width - x is not always width in floats.
    return np.where(whole, size, end - start)


__all__ = ["Box", "Boxes", "RecordNote", "box_suspicion", "select_boxes", "training_boxes"]

SizeRule = Literal["thin", "small", "large"]


def select_boxes(coco: CocoFile) -> tuple[Boxes, list[RecordNote]]:
    """Select the boxes that can be labeled.

    Returns:
        Boxes sorted by image, then by position; and notes: that of `box_suspicion`, then those on records in file
        order. An annotation without a box has exactly one "skipped", "failed" or "passed" note; a clipped one is a box
        and has a "clipped" note; "warned" notes come on top.
    """
    table = coco.table
    xyxy, overhang = _clip(table, _image_sizes(coco))
    has_extent = (xyxy[:, :2] < xyxy[:, 2:]).all(axis=1)  # not where a number is NaN
    usable = has_extent & ~table.is_group
    first_positions = _first_positions(table.ids)
    plain = usable & ~table.is_odd_group & (overhang <= ROUNDING) & _is_plain_class(table.category_ids, coco)
    plain &= first_positions == np.arange(len(table))
    suspected = box_suspicion(coco)
    notes = [RecordNote(None, None, None, "warned", str(suspected))] if suspected else []
    notes += [
        note
        for position in np.flatnonzero(~plain).tolist()
        for note in find_box_notes(coco, position, first_position=int(first_positions[position]))
    ]
    positions = np.flatnonzero(usable)
    positions = positions[np.argsort(table.image_rows[positions], kind="stable")]
    return Boxes(table, coco.images, positions, xyxy[positions]), notes


def box_suspicion(coco: CocoFile) -> BoxSuspicion | None:
    """The convention that the boxes seem to follow, if not x, y, width, height in pixels; else None."""
    return suspicion(coco.table.xywh, _image_sizes(coco))


def _image_sizes(coco: CocoFile) -> npt.NDArray[np.float64]:
    """Width and height of each annotation's image, (N, 2); NaN where they are not known."""
    sizes = np.full((len(coco.table), 2), np.nan)
    known = coco.table.image_rows >= 0
    sizes[known] = coco.images.sizes[coco.table.image_rows[known]]
    sizes[sizes == 0] = np.nan
    return sizes


def _clip(
    table: AnnotationTable, sizes: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Boxes limited to their images, (N, 4) as x0 y0 x1 y1, and how far each reaches out, (N,); NaN without one."""
    start, end = table.xywh[:, :2], table.xywh[:, :2] + table.xywh[:, 2:]
    overhang = np.concatenate([-start, end - sizes], axis=1).max(axis=1)
    return np.concatenate([np.maximum(start, 0), np.minimum(end, sizes)], axis=1), overhang


def _first_positions(ids: JsonColumn) -> npt.NDArray[np.int64]:
    """The first row with the same id, for every row; -1 where the id is none."""
    if not ids.others:
        _, first, groups = np.unique(ids.integers, return_index=True, return_inverse=True)
        return first[groups]
    firsts: dict[int | str, int] = {}
    values = (ids[row] for row in range(len(ids)))
    return np.array([firsts.setdefault(value, row) if is_id(value) else -1 for row, value in enumerate(values)])


def _is_plain_class(category_ids: JsonColumn, coco: CocoFile) -> npt.NDArray[np.bool_]:
    """(N,) bool: an integer that the file's categories have; other ids need a closer look."""
    known = [category_id for category_id in coco.categories if type(category_id) is int]
    plain = np.isin(category_ids.integers, known) if coco.categories else np.ones(len(category_ids), np.bool_)
    plain[list(category_ids.others)] = False
    return plain


def training_boxes(coco: CocoFile, *, min_obj_size: float, max_obj_size: float) -> tuple[Boxes, list[RecordNote]]:
    """Select the boxes to train on: those of `select_boxes` whose visible area is within limits.

    Args:
        min_obj_size, max_obj_size: both excluded; square pixels of the visible part, w * h where nothing is cut off.

    Returns:
        Boxes as in `select_boxes`; its notes, and one more for each rule that leaves boxes out, with their number.
    """
    boxes, notes = select_boxes(coco)
    broken = broken_size_rules(boxes, min_obj_size=min_obj_size, max_obj_size=max_obj_size)
    for name, rule in size_rules(min_obj_size=min_obj_size, max_obj_size=max_obj_size).items():
        if count := broken.count(name):
            notes.append(RecordNote(None, None, None, "skipped", f"{count} boxes are not trained on: they {rule}"))
    return boxes.take(np.flatnonzero([rule is None for rule in broken])), notes


def broken_size_rules(boxes: Boxes, *, min_obj_size: float, max_obj_size: float) -> list[SizeRule | None]:
    """For each box the first of `size_rules` that it breaks; None for a box to train on."""
    sizes = boxes.visible_sizes
    areas = sizes.prod(axis=1)
    rules = np.full(len(boxes), None)
    rules[areas >= max_obj_size] = "large"
    rules[areas <= min_obj_size] = "small"
    rules[sizes.min(axis=1) <= 2] = "thin"
    return rules.tolist()


def size_rules(*, min_obj_size: float, max_obj_size: float) -> dict[SizeRule, str]:
    """Rules that exclude boxes by size, each with its text: the end of a sentence about "they"."""
    return {
        "thin": "are at most 2 pixels wide or high",
        "small": f"have an area of at most min_obj_size = {min_obj_size:g} square pixels",
        "large": f"have an area of at least max_obj_size = {max_obj_size:g} square pixels",
    }
