"""The threshold with the best masks on boxes with true masks that were held out of the training."""

from __future__ import annotations

from copy import copy
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich import box
from rich.table import Table

from mal.coco.ground_truth import GroundTruth
from mal.console import console
from mal.data.loaders import AnnotatedImages
from mal.files import write_json
from mal.labeler import MaskAutoLabeler
from mal.labeling.pipeline import crop_batches
from mal.masks.postprocess import Thresholds
from mal.metrics.iou import mask_iou
from mal.runtime.process_group import ProcessGroup

THRESHOLDS = (0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6)
THRESHOLDS_NAME = "thresholds.json"
ENOUGH_BOXES = 10

Values = npt.NDArray[np.float64]


def threshold_ious(
    source: AnnotatedImages, labeler: MaskAutoLabeler, processes: ProcessGroup, *, batch_size: int, num_workers: int
) -> Values:
    """IoU of each box with its true mask, at the labeler's own threshold and at each of :data:`THRESHOLDS`.

    Args:
        source: annotation file and images.
        labeler: predicts the masks; its network is run once for each box.
        processes: the process group.
        batch_size: boxes in a batch.
        num_workers: processes that read images.

    Returns:
        (N, 1 + T): on rank 0 of all boxes that have a true mask and get one, else of this rank's.
    """
    truth = GroundTruth(source.coco)
    labelers = [_with_threshold(labeler, thresholds) for thresholds in (labeler.thresholds, *([t] for t in THRESHOLDS))]
    boxes = source.boxes_to_label.take(np.flatnonzero(source.boxes_to_label.has_mask))
    batches = crop_batches(
        source, labeler, processes, name="thresholds", boxes=boxes, batch_size=batch_size, num_workers=num_workers
    )
    rows = []
    for batch in batches:
        if not len(batch):
            continue
        probs = labeler.probabilities(batch)
        drawn = zip(*(each.pasted(batch, probs) for each in labelers), strict=True)
        for own_box, masks in zip(batch.boxes, drawn, strict=True):
            rle = truth.rle(own_box)
            if rle is not None and None not in masks:
                rows.append([mask_iou(mask.rle(), rle) for mask in masks if mask is not None])
    own = np.array(rows, np.float64).reshape(-1, len(labelers))
    return np.concatenate([own[:0], *processes.gather(own)])


def best_threshold(ious: Values) -> float:
    """The threshold with the highest mean IoU; of equal ones the lowest.

    Args:
        ious: as of `threshold_ious`, at least one row.
    """
    return THRESHOLDS[int(ious[:, 1:].mean(axis=0).argmax())]


def show_thresholds(ious: Values, own: Thresholds, path: Path) -> None:
    """Print the comparison, and write it.

    Raises:
        UserError: the file cannot be written.
    """
    write_thresholds(ious, own, path)
    if len(ious):
        console.print(threshold_table(ious))
    console.print(threshold_line(ious, own))


def write_thresholds(ious: Values, own: Thresholds, path: Path) -> None:
    """Write the mean IoU at each threshold.

    Raises:
        UserError: the file cannot be written.
    """
    means = ious.mean(axis=0).tolist() if len(ious) else []
    write_json(
        {
            "boxes": len(ious),
            "own": {"threshold": own, "miou": means[0] if means else None},
            "thresholds": [
                {"threshold": each, "miou": mean} for each, mean in zip(THRESHOLDS, means[1:], strict=False)
            ],
            "best": best_threshold(ious) if len(ious) >= ENOUGH_BOXES else None,
        },
        path,
    )


def threshold_table(ious: Values) -> Table:
    """Mean IoU by threshold, for the terminal."""
    title = f"mean IoU of {len(ious)} boxes by train.mask_thres"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for title in ("as it is", *(f"{threshold:g}" for threshold in THRESHOLDS)):
        table.add_column(title, justify="right")
    table.add_row(*(f"{mean:.4f}" for mean in ious.mean(axis=0)))
    return table


def threshold_line(ious: Values, own: Thresholds) -> str:
    """What follows from it, in one line."""
    if len(ious) < ENOUGH_BOXES:
        return f"{len(ious)} boxes with true masks are too few to choose a threshold by: it takes {ENOUGH_BOXES}"
    best = best_threshold(ious)
    as_it_is, found = float(ious[:, 0].mean()), float(ious[:, 1 + THRESHOLDS.index(best)].mean())
    if found <= as_it_is:
        return f"no threshold is better than the one that there is, {own}"
    return f"--threshold {best:g} (train.mask_thres=[{best:g}]) has {found:.4f}, {own} has {as_it_is:.4f}"


def _with_threshold(labeler: MaskAutoLabeler, thresholds: Thresholds) -> MaskAutoLabeler:
    other = copy(labeler)
    other.thresholds, other.scored = thresholds, False
    return other
