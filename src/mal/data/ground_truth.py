"""The true masks of an annotation file, where it has them."""

from __future__ import annotations

from mal.data.box import Box
from mal.data.coco import CocoFile
from mal.data.notes import RecordNote
from mal.masks.rle import Rle, rle_from_segmentation


class GroundTruth:
    """Masks of boxes, decoded one at a time when asked for.

    Args:
        coco: the annotation file.

    Attributes:
        notes: the boxes that were asked for and have no readable mask, each named once.
    """

    def __init__(self, coco: CocoFile) -> None:
        self._annotations = coco.annotations
        self.notes: dict[int, RecordNote] = {}

    def rle(self, box: Box) -> Rle | None:
        """The true mask of a box at full image size; None, and a note, where the file has none."""
        segmentation = self._annotations[box.position].get("segmentation")
        if not segmentation:
            self._note(box, "no mask in the file: its box is used, it takes no part in the evaluation")
            return None
        try:
            return rle_from_segmentation(segmentation, box.image.height, box.image.width)
        except ValueError as error:
            self._note(box, f"mask not readable: {error}")
            return None

    def _note(self, box: Box, reason: str) -> None:
        self.notes[box.position] = RecordNote(box.position, box.annotation_id, box.image.id, "warned", reason)
