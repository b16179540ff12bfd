"""A review under way: masks of the label file, decisions on them, and new masks of redrawn boxes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mal.coco.coco_file import CocoFile
from mal.coco.tables import ImageRecord
from mal.data.array_inputs import checked_boxes
from mal.errors import UserError
from mal.masks.rle import Rle, rle_area, rle_extent, rle_from_segmentation
from mal.review.journal import DRAWN_STATES, Decision, State
from mal.review.journal_writer import Act, JournalWriter, LabelsChangedError
from mal.review.pictures import ReviewPictures
from mal.review.queue import ReviewQueue

if TYPE_CHECKING:
    from mal.serve.engine import Engine, FoundMask, Model

Json = dict[str, Any]


class ReviewModel:
    """The model that makes masks of redrawn boxes; loaded when the first one is asked for.

    Args:
        load: loads it; None where the review has none.
    """

    def __init__(self, load: Callable[[], Model] | None) -> None:
        self._load = load
        self._engine: Engine | None = None
        self._lock = threading.Lock()

    @property
    def is_there(self) -> bool:
        """Whether there is one."""
        return self._load is not None

    def engine(self) -> Engine:
        """The engine with the model.

        Raises:
            UserError: there is none, or it cannot be loaded.
        """
        with self._lock:
            if self._engine is None:
                if self._load is None:
                    raise UserError(
                        "this review runs without a model (--no-model), so a redrawn box gets no mask: draw it with"
                        " the brush or a polygon"
                    )
                from mal.serve.engine import Engine  # and with it the networks, which the page does not wait for

                self._engine = Engine(self._load(), batch_size=1)
            return self._engine

    def close(self) -> None:
        """End its thread."""
        if self._engine is not None:
            self._engine.close()


@dataclass(frozen=True, slots=True)
class Session:
    """All that the routes of a review use.

    Attributes:
        coco: the label file.
        queue: of its annotations.
        pictures: of the review.
        writer: of the journal.
        model: for redrawn boxes.
        reviewer: who decides, where the page does not say.
    """

    coco: CocoFile
    queue: ReviewQueue
    pictures: ReviewPictures
    writer: JournalWriter
    model: ReviewModel
    reviewer: str

    def overview(self) -> Json:
        """What the page begins with: the queue, the states, and names for its head."""
        return {
            "file": self.coco.path.name,
            "journal": self.writer.journal.path.name,
            "reviewer": self.reviewer,
            "has_model": self.model.is_there,
            "left_out": self.queue.left_out,
            "queue": self.queue.columns(),
            **self.changes(0),
        }

    def changes(self, since: int) -> Json:
        """Decisions after the one of a number, of all tabs and reviewers; and whether the label file is still the same.

        Args:
            since: number of the last decision that the page knows.
        """
        decisions = [*self.writer.journal.decisions.values()]
        newer = [decision for decision in decisions if decision.number > since]
        try:
            self.writer.require_unchanged()
            problem = None
        except LabelsChangedError as error:
            problem = str(error)
        return {
            "number": max((decision.number for decision in decisions), default=0),
            "changes": [brief(decision) for decision in sorted(newer, key=lambda each: each.number)],
            "problem": problem,
        }

    def mask(self, position: int) -> Json:
        """The mask of an annotation as it stands, and that of the label file."""
        image = self._image(position)
        decision = self.writer.journal.decisions.get(position)
        record = self.coco.annotations[position]
        of_file, problem = _mask_of_file(record.get("segmentation"), image)
        drawn = None if decision is None else decision.segmentation
        return {
            "at": position,
            **(brief(decision) if decision is not None else {"state": "undecided", "version": 0, "by": None}),
            "original": of_file,
            "drawn": drawn,
            "bbox": None if decision is None else decision.bbox,
            "problem": problem,
        }

    def decide(
        self,
        position: int,
        state: State,
        *,
        by: str,
        operation: str,
        base: int,
        segmentation: Any = None,
        bbox: list[float] | None = None,
    ) -> Decision:
        """Check a decision and write it to the journal; see `JournalWriter.decide`.

        Raises:
            UserError: the mask or the box is none, or is missing where the state asks for it.
            StaleVersionError, LabelsChangedError, OSError: as there.
        """
        image = self._image(position)
        rle: Rle | None = None
        if state in DRAWN_STATES:
            try:
                rle = rle_from_segmentation(segmentation, image.height, image.width)
            except ValueError as error:
                raise UserError(f"the drawn mask cannot be read: {error}") from None
            if state == "edited" and not rle_area(rle):
                raise UserError("the drawn mask is empty: draw it, or reject the annotation")
        if bbox is not None:
            checked_box(bbox, image)
        who = by.strip() or self.reviewer
        act = Act(position, state, who, operation, base, rle, bbox if rle is not None else None)
        return self.writer.decide(act, self.coco.table.ids[position])

    def redraw(self, position: int, bbox: list[float], is_wanted: Callable[[], bool]) -> Json:
        """The mask that the model makes of a box.

        Args:
            position: of the annotation.
            bbox: x, y, width, height in pixels.
            is_wanted: asked before the model is run.

        Raises:
            UserError: there is no model, the picture cannot be read, or the box is none.
            StoppedEarly: it is no longer wanted.
        """
        image = self._image(position)
        x, y, width, height = checked_box(bbox, image)
        engine = self.model.engine()
        corners = checked_boxes(np.array([[x, y, x + width, y + height]]))
        (found,) = engine.masks(self.pictures.pixels(image), corners, is_wanted)
        return _answer(found, engine.model.version)

    def image(self, row: int) -> ImageRecord:
        """The record of an image by its row.

        Raises:
            UserError: there is none.
        """
        if not 0 <= row < len(self.coco.images):
            raise UserError(f"there is no image {row}")
        return self.coco.images.at(row)

    def _image(self, position: int) -> ImageRecord:
        if position not in self.queue:
            raise UserError(f"there is no annotation {position} in the queue")
        return self.image(int(self.coco.table.image_rows[position]))


def brief(decision: Decision) -> Json:
    """A decision without its mask, for the page."""
    return {
        "at": decision.position,
        "version": decision.version,
        "state": decision.state,
        "by": decision.by,
        "time": decision.time,
        "number": decision.number,
    }


def checked_box(bbox: list[float], image: ImageRecord) -> list[float]:
    """A box of the page: four numbers of which a part lies in the picture.

    Raises:
        UserError: it is none.
    """
    if len(bbox) == 4 and np.isfinite(bbox).all() and min(bbox[2:]) > 0:
        x, y, width, height = bbox
        if x < image.width and y < image.height and x + width > 0 and y + height > 0:
            return bbox
    raise UserError(f"{bbox} is no box x, y, width, height in the picture")


def _mask_of_file(segmentation: Any, image: ImageRecord) -> tuple[Rle | None, str | None]:
    """A mask of the label file, or why it cannot be shown."""
    if not image.has_size:
        return None, "the size of its picture is not known, so its mask cannot be shown or drawn"
    if not segmentation:
        return None, None
    try:
        return rle_from_segmentation(segmentation, image.height, image.width), None
    except ValueError as error:
        return None, f"its mask in the label file cannot be read: {error}"


def _answer(found: FoundMask, version: str) -> Json:
    if found.rle is None or not rle_area(found.rle):
        return {"segmentation": None, "reason": found.reason or "the model finds nothing in this box", "model": version}
    return {"segmentation": found.rle, "extent": list(rle_extent(found.rle)), "score": found.score, "model": version}
