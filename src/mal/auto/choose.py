"""Choose between two networks by signals that need no true masks."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mal.auto.looks import mean_of_looks
from mal.auto.request import Network
from mal.coco.boxes import Box, Boxes
from mal.data.loaders import AnnotatedImages
from mal.labeler import MaskAutoLabeler
from mal.masks.paste import PastedMask
from mal.metrics.iou import mask_iou

MAX_BOXES = 200  # that are looked at, chosen evenly
LEAST_HELD_OUT = 5  # with fewer boxes nothing is certain, and the starter stays
LEAST_GAIN = 0.01  # of the signal: less than the spread between seeds is no gain
LEAST_PARTING = 0.01  # of Signals.own, likewise
ENOUGH_TO_PART = 100  # boxes; a change of Signals.own has an error of .01 there
WIDER = 1.5  # factor of the margin for the second look at a box


@dataclass(frozen=True, slots=True)
class Signals:
    """Means over boxes, each 0..1; higher is better.

    Attributes:
        box_fit: IoU of a mask's own box with the box that it was made for (projections of MIL).
        flip: IoU of a mask with that of the mirrored picture.
        margin: IoU of a mask with that of a wider crop.
        score: expected IoU, see `mal.masks.score`.
        own: share of a mask that no mask of another box of the picture claims too.
    """

    box_fit: float
    flip: float
    margin: float
    score: float
    own: float


WEIGHTS = {"box_fit": 0.25, "flip": 0.15, "margin": 0.1, "score": 0.5}


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
    """One number of the signals with a weight, 0..1."""
    return float(sum(weight * getattr(signals, name) for name, weight in WEIGHTS.items()))


def choose(starter: Signals, trained: Signals, num_boxes: int) -> Choice:
    """Keep the trained network only where it is better by more than chance.

    It is better if the combined signal says so, or if masks of neighbors mix less, at no cost of their fit: where two
    masks claim a pixel, one is wrong.

    Args:
        starter, trained: signals of the two on the same boxes, which neither was trained on in this run.
        num_boxes: their number.
    """
    if num_boxes < LEAST_HELD_OUT:
        return Choice("starter", f"only {num_boxes} boxes are held out, too few to tell whether training has helped")
    before, after = combined(starter), combined(trained)
    told = (
        f"the signal without masks is {before:.3f} before and {after:.3f} after training, on {num_boxes} held-out boxes"
    )
    gains, parting = after - before > LEAST_GAIN, trained.own - starter.own
    parts = parting > LEAST_PARTING and trained.box_fit >= starter.box_fit and num_boxes >= ENOUGH_TO_PART
    if parts:
        told += f", and masks of neighbors share {parting:.1%} of their pixels less"
    if not (gains or parts):
        return Choice("starter", f"{told}, no clear gain: the network of before labels")
    # Fit and score rise with any training on cuts, also where masks become worse; a network that has learned what the
    # objects are wavers less too (docs/quality.md).
    if trained.flip < starter.flip or trained.margin < starter.margin:
        return Choice("starter", f"{told}, but its masks waver more: the network of before labels")
    return Choice("trained", f"{told}: the trained network labels")


def measure_signals(labeler: MaskAutoLabeler, source: AnnotatedImages, boxes: Boxes, name: str) -> Signals:
    """Measure the signals of a network.

    Args:
        labeler: the network.
        source: annotations and pictures.
        boxes: boxes of the source; at most :data:`MAX_BOXES` of them are looked at.
        name: of the progress bar.
    """
    wider = copy(labeler)
    wider.crop = replace(labeler.crop, margin_rate=[WIDER * rate for rate in labeler.crop.margin_rate])

    def look(pixels: npt.NDArray[np.uint8], chosen: list[Box]) -> list[tuple[float, ...]]:
        corners = np.array([box.xyxy for box in chosen])
        mirrored = np.column_stack(
            [pixels.shape[1] - corners[:, 2], corners[:, 1], pixels.shape[1] - corners[:, 0], corners[:, 3]]
        )
        flipped = labeler.label_instances(np.ascontiguousarray(pixels[:, ::-1]), mirrored)
        masks = labeler.label_instances(pixels, np.concatenate([corners, _corners_around(chosen, boxes)]))
        own = _own_shares(masks, pixels.shape[:2])[: len(chosen)]
        looks = zip(chosen, masks[: len(chosen)], flipped, wider.label_instances(pixels, corners), own, strict=True)
        return [_of_box(*each) for each in looks]

    found = mean_of_looks(source, boxes, look, max_boxes=MAX_BOXES, name=name)
    return Signals(0.0, 0.0, 0.0, 0.0, 0.0) if found is None else Signals(*found.tolist())


def _corners_around(chosen: list[Box], boxes: Boxes) -> npt.NDArray[np.float64]:
    """Corners of the boxes that meet some chosen ones of one picture and are none of them, (N, 4)."""
    is_chosen = np.isin(boxes.positions, [box.position for box in chosen])
    is_here = boxes.image_rows == boxes.image_rows[is_chosen][0]
    own, others = boxes.xyxy[is_chosen], boxes.xyxy[is_here & ~is_chosen]
    meets = (others[:, None, :2] < own[None, :, 2:]) & (others[:, None, 2:] > own[None, :, :2])
    return others[meets.all(axis=2).any(axis=1)]


def _own_shares(masks: list[PastedMask | None], size: tuple[int, int]) -> list[float]:
    """Of each mask the share that no other one claims; 1 for an empty one."""
    claims = np.zeros(size, np.uint8)
    for mask in filter(None, masks):
        here = claims[mask.place]
        np.minimum(here + mask.window, 2, out=here)
    return [
        float(np.mean(claims[mask.place][mask.window] == 1)) if mask and mask.window.any() else 1.0 for mask in masks
    ]


def _of_box(
    box: Box, mask: PastedMask | None, flipped: PastedMask | None, wide: PastedMask | None, own: float
) -> tuple[float, float, float, float, float]:
    if mask is None or flipped is None or wide is None:
        return 0.0, 0.0, 0.0, 0.0, 0.0
    rle = mask.rle()
    flip, margin = mask_iou(rle, _mirrored(flipped).rle()), mask_iou(rle, wide.rle())
    return _box_fit(mask, box), flip, margin, mask.score or 0.0, own


def _mirrored(mask: PastedMask) -> PastedMask:
    x0 = mask.image_width - mask.x0 - mask.window.shape[1]
    return replace(mask, window=mask.window[:, ::-1], x0=x0)


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
