"""Read the ground-truth masks of an annotation file."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from mal.coco.boxes import Box, Boxes, box_suspicion
from mal.coco.coco_file import CocoFile, show
from mal.coco.notes import RecordNote
from mal.coco.statistics import note_groups
from mal.masks.rle import Rle, rle_area, rle_extent, rle_from_segmentation

LEAST_FIT = 0.25
"""IoU of a mask's extent with its box below which the two are of different objects: of 7,585 masks of six public sets
the lowest fit is 0.36; a box around the hidden part of its object too may have less than half."""

BETTER_AS_CORNERS = 0.3
"""How much better a mask fits its box's four numbers as x0 y0 x1 y1 where they are two corners and no x, y, w, h."""

_NO_PART = "it takes no part in the evaluation"


class GroundTruth:
    """Masks of boxes, decoded one at a time when asked for.

    Args:
        coco: the annotation file.

    Attributes:
        notes: one for each requested box without a usable mask.
        unreadable: those of them whose mask cannot be read.
    """

    def __init__(self, coco: CocoFile) -> None:
        self._annotations = coco.annotations
        self.notes: dict[int, RecordNote] = {}
        self.unreadable: set[int] = set()

    def rle(self, box: Box) -> Rle | None:
        """The true mask of a box at full image size.

        Returns None and adds a note if the mask is missing, unreadable or empty, or hardly overlaps its box.
        """
        segmentation = self._annotations[box.position].get("segmentation")
        if not segmentation:
            self._note(box, f"no mask in the file: its box is used, {_NO_PART}")
            return None
        try:
            rle = rle_from_segmentation(segmentation, box.image.height, box.image.width)
        except ValueError as error:
            self._note(box, f"mask not readable: {error}")
            self.unreadable.add(box.position)
            return None
        fault = _fault(rle, box)
        if fault:
            self._note(box, fault + (", and its polygons look normalised" if _is_normalized(segmentation) else ""))
        return None if fault else rle

    def has_any(self, boxes: Boxes) -> bool:
        """Whether any box has a true mask; stops at the first and adds notes for the boxes before it."""
        return any(self.rle(box) is not None for box in boxes.take(np.flatnonzero(boxes.has_mask)))

    def _note(self, box: Box, reason: str) -> None:
        self.notes[box.position] = RecordNote(box.position, box.annotation_id, box.image.id, "warned", reason)


def reasons(notes: Iterable[RecordNote]) -> list[str]:
    """Summarize notes of `GroundTruth`: one line for each kind, with its count and its first example."""
    return [
        f"{group.count} boxes like annotation {show(group.example_id)}: {group.example}" for group in note_groups(notes)
    ]


def explain_missing_masks(coco: CocoFile, truth: GroundTruth) -> str:
    """Explain why a file has no mask to compare with; in brackets, to end a line."""
    suspected = box_suspicion(coco)
    why = [*([str(suspected)] if suspected else []), *reasons(truth.notes.values())]
    return f" ({'; '.join(why)})" if why else ""


def _fault(rle: Rle, box: Box) -> str:
    """Why a mask cannot be the ground truth of its box; empty if it can."""
    if not rle_area(rle):
        return f"its mask has no pixel in its image of {box.image.width} x {box.image.height}: {_NO_PART}"
    size = (box.image.width, box.image.height)
    fit, fit_of_corners = _fit(rle, _corners(box.xywh), size), _fit(rle, np.array(box.xywh), size)
    if fit < LEAST_FIT or fit_of_corners - fit > BETTER_AS_CORNERS:
        extent = [round(side) for side in rle_extent(rle)]
        return f"its mask does not fit its box, it reaches over {extent}, its bbox is {list(box.xywh)}: {_NO_PART}"
    return ""


def _fit(rle: Rle, corners: np.ndarray, size: tuple[int, int]) -> float:
    """IoU of a mask's extent with a box in its image, 0..1; sides that are up to a pixel apart count as the same."""
    corners = np.clip(corners, 0, (*size, *size))
    extent = _corners(rle_extent(rle))
    extent = np.clip(corners, extent - 1, extent + 1)
    shared = np.minimum(corners[2:], extent[2:]) - np.maximum(corners[:2], extent[:2])
    if (corners[2:] <= corners[:2]).any() or (shared <= 0).any():
        return 0.0
    intersection = shared.prod()
    areas = (corners[2:] - corners[:2]).prod() + (extent[2:] - extent[:2]).prod()
    return float(intersection / (areas - intersection))


def _corners(xywh: tuple[float, float, float, float]) -> np.ndarray:
    x, y, width, height = xywh
    return np.array([x, y, x + width, y + height])


def _is_normalized(segmentation: Any) -> bool:
    """Whether all coordinates of polygons lie within 0..1."""
    return isinstance(segmentation, list) and all(0 <= value <= 1 for polygon in segmentation for value in polygon)
