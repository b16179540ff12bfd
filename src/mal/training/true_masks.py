"""True masks of training boxes: those of a file of their own, and those that a person has accepted or drawn."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mal.coco.boxes import Box, Boxes
from mal.coco.coco_file import CocoFile
from mal.coco.ground_truth import GroundTruth
from mal.coco.notes import RecordNote
from mal.data.loaders import AnnotatedImages
from mal.data.picture_remarks import MARK
from mal.masks.rle import Rle
from mal.review.journal import RIGHT_STATES
from mal.review.reviewed import REVIEW

SAME_BOX = 0.8
"""IoU from which two boxes of one picture are of the same object, where their ids do not say it."""


@dataclass(frozen=True, slots=True)
class TrueMasks:
    """True masks of training boxes.

    Attributes:
        by_index: the mask at full image size by the index of the box.
        notes: masks that belong to no box, or cannot be used.
    """

    by_index: Mapping[int, Rle]
    notes: list[RecordNote] = field(default_factory=list)


def reviewed_masks(boxes: Boxes, coco: CocoFile) -> TrueMasks:
    """The masks of a training file that a person has accepted or drawn in `mal review`.

    Args:
        boxes: to train on, of this file.
        coco: the file.
    """
    truth = GroundTruth(coco)
    found = {}
    for index in np.flatnonzero(boxes.has_mask).tolist():
        box = boxes[index]
        if _is_right(coco.annotations[box.position]) and (rle := truth.rle(box)) is not None:
            found[index] = rle
    return TrueMasks(found, list(truth.notes.values()))


def masks_of_file(boxes: Boxes, masks: AnnotatedImages) -> TrueMasks:
    """The masks of another file for training boxes.

    A mask belongs to the box of the same picture and size that has its annotation id, else to the one whose box is
    nearly its own (:data:`SAME_BOX`). In a file that was written by `mal review`, masks count that were accepted or
    drawn.

    Args:
        boxes: to train on.
        masks: the other file.
    """
    coco, truth = masks.coco, GroundTruth(masks.coco)
    of_image: defaultdict[Any, list[int]] = defaultdict(list)
    wanted = {image.file_name for image in coco.images.values()}
    for index, box in enumerate(boxes):
        if box.image.file_name in wanted:
            of_image[_image_key(box)].append(index)
    found: dict[int, Rle] = {}
    notes: list[RecordNote] = []
    of_masks = masks.boxes_to_label
    reviewed = was_reviewed(coco)
    for box in of_masks.take(np.flatnonzero(of_masks.has_mask)):
        if reviewed and not _is_right(coco.annotations[box.position]):
            continue
        own = _index_of(box, boxes, of_image[_image_key(box)])
        if own is None or own in found:
            reason = "no box to train on has its id or its place" if own is None else "its box has a mask already"
            notes.append(_note(box, f"its mask is not used: {reason}"))
        elif (rle := truth.rle(box)) is not None:
            found[own] = rle
    return TrueMasks(found, [*notes, *truth.notes.values()])


def was_reviewed(coco: CocoFile) -> bool:
    """Whether `mal review` has written a file."""
    mark = coco.document.get(MARK)
    return isinstance(mark, dict) and REVIEW in mark


def _is_right(record: Any) -> bool:
    """Whether a person has accepted or drawn the mask of an annotation."""
    mark = record.get(MARK)
    review = mark.get(REVIEW) if isinstance(mark, dict) else None
    return isinstance(review, dict) and review.get("state") in RIGHT_STATES


def _image_key(box: Box) -> tuple[str, int, int]:
    return box.image.file_name, box.image.width, box.image.height


def _index_of(box: Box, boxes: Boxes, candidates: list[int]) -> int | None:
    for index in candidates:
        if boxes[index].annotation_id == box.annotation_id:
            return index
    ious = [_iou(boxes.xyxy[index], np.array(box.xyxy)) for index in candidates]
    best = int(np.argmax(ious)) if ious else -1
    return candidates[best] if best >= 0 and ious[best] >= SAME_BOX else None


def _iou(first: np.ndarray, second: np.ndarray) -> float:
    shared = np.clip(np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2]), 0, None).prod()
    areas = (first[2:] - first[:2]).prod() + (second[2:] - second[:2]).prod()
    return float(shared / (areas - shared))


def _note(box: Box, reason: str) -> RecordNote:
    return RecordNote(box.position, box.annotation_id, box.image.id, "warned", reason)
