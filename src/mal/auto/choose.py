"""Choose between two networks by signals that need no true masks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple, dataclass, replace
from typing import Any

import numpy as np

from mal.auto.request import Network
from mal.coco.boxes import Box, Boxes
from mal.console import task_progress
from mal.data.images import read_record_image
from mal.data.loaders import AnnotatedImages
from mal.errors import UserError
from mal.labeler import MaskAutoLabeler
from mal.masks.paste import PastedMask

MAX_BOXES = 200  # that are looked at, chosen evenly
LEAST_HELD_OUT = 5  # with fewer boxes nothing is certain, and the starter stays
LEAST_GAIN = 0.01  # of the signal: less than the spread between seeds is no gain
WIDER = 1.5  # factor of the margin for the second look at a box


@dataclass(frozen=True, slots=True)
class Signals:
    """Means over boxes, each 0..1; higher is better.

    Attributes:
        box_fit: IoU of a mask's own box with the box that it was made for (projections of MIL).
        flip: IoU of a mask with that of the mirrored picture.
        margin: IoU of a mask with that of a wider crop.
        score: expected IoU, see `mal.masks.score`.
    """

    box_fit: float
    flip: float
    margin: float
    score: float


WEIGHTS = Signals(box_fit=0.25, flip=0.15, margin=0.1, score=0.5)


@dataclass(frozen=True, slots=True)
class Choice:
    """A choice.

    Attributes:
        network: the one that is kept.
        reason: in words, for the terminal.
    """

    network: Network
    reason: str


def combined(signals: Signals) -> float:
    """One number of all signals, 0..1."""
    return sum(weight * value for weight, value in zip(astuple(WEIGHTS), astuple(signals), strict=True))


def choose(starter: Signals, trained: Signals, num_boxes: int) -> Choice:
    """Keep the trained network only where it is better by more than chance.

    Args:
        starter, trained: signals of the two on the same boxes, which neither was trained on in this run.
        num_boxes: their number.
    """
    if num_boxes < LEAST_HELD_OUT:
        return Choice("starter", f"only {num_boxes} boxes are held out, too few to tell whether training has helped")
    before, after = combined(starter), combined(trained)
    told = f"{before:.3f} before and {after:.3f} after training, on {num_boxes} boxes that were held out"
    if after - before > LEAST_GAIN:
        return Choice("trained", f"the signal without masks is {told}: the trained network labels")
    return Choice("starter", f"the signal without masks is {told}: no clear gain, so the network of before labels")


def measure_signals(labeler: MaskAutoLabeler, source: AnnotatedImages, boxes: Boxes, name: str) -> Signals:
    """Measure the signals of a network.

    Args:
        labeler: the network.
        source: annotations and pictures.
        boxes: boxes of the source; unreadable pictures are left out.
        name: of the progress bar.
    """
    rows = np.unique(np.linspace(0, len(boxes) - 1, min(len(boxes), MAX_BOXES)).astype(int))
    chosen = boxes.take(rows)
    found: list[tuple[float, float, float, float]] = []
    with task_progress(name, len(chosen)) as progress:
        for together in _by_image(chosen):
            found += _of_image(labeler, source, together)
            progress.advance(len(together))
    return Signals(*np.mean(found, axis=0).tolist()) if found else Signals(0.0, 0.0, 0.0, 0.0)


def _by_image(boxes: Boxes) -> Iterator[list[Box]]:
    together: dict[Any, list[Box]] = {}
    for box in boxes:
        together.setdefault(box.image.id, []).append(box)
    yield from together.values()


def _of_image(
    labeler: MaskAutoLabeler, source: AnnotatedImages, boxes: list[Box]
) -> Iterator[tuple[float, float, float, float]]:
    try:
        pixels = read_record_image(source.img_dir, boxes[0].image)
    except UserError:  # labeling names it
        return
    corners = np.array([box.xyxy for box in boxes])
    mirrored = np.column_stack(
        [pixels.shape[1] - corners[:, 2], corners[:, 1], pixels.shape[1] - corners[:, 0], corners[:, 3]]
    )
    masks = labeler.label_instances(pixels, corners)
    flipped = labeler.label_instances(np.ascontiguousarray(pixels[:, ::-1]), mirrored)
    crop = labeler.crop
    labeler.crop = replace(crop, margin_rate=[WIDER * rate for rate in crop.margin_rate])
    try:
        wider = labeler.label_instances(pixels, corners)
    finally:
        labeler.crop = crop
    for box, mask, other, wide in zip(boxes, masks, flipped, wider, strict=True):
        if mask is None or other is None or wide is None:
            yield 0.0, 0.0, 0.0, 0.0
            continue
        full = mask.full()
        yield _box_fit(mask, box), _iou(full, other.full()[:, ::-1]), _iou(full, wide.full()), mask.score or 0.0


def _box_fit(mask: PastedMask, box: Box) -> float:
    rows, columns = np.flatnonzero(mask.window.any(axis=1)), np.flatnonzero(mask.window.any(axis=0))
    if not len(rows):
        return 0.0
    found = (mask.x0 + columns[0], mask.y0 + rows[0], mask.x0 + columns[-1] + 1, mask.y0 + rows[-1] + 1)
    width = min(found[2], box.xyxy[2]) - max(found[0], box.xyxy[0])
    height = min(found[3], box.xyxy[3]) - max(found[1], box.xyxy[1])
    shared = max(width, 0.0) * max(height, 0.0)
    return float(shared / (_area(found) + _area(box.xyxy) - shared))


def _area(box: tuple[float, float, float, float]) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _iou(first: Any, second: Any) -> float:
    union = np.logical_or(first, second).sum()
    return float(np.logical_and(first, second).sum() / union) if union else 0.0
