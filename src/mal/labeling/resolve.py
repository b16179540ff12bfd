"""Resolve the labels of an image together: overlaps, and existing masks that are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mal.coco.boxes import Boxes
from mal.coco.coco_file import CocoFile
from mal.coco.ground_truth import GroundTruth
from mal.coco.notes import RecordNote
from mal.data.label_dataset import BoxChunks
from mal.data.loaders import AnnotatedImages
from mal.labeling.shards import BoxResult, MaskLabel, ShardLabels, ShardWriter
from mal.masks.postprocess import without_overlap
from mal.masks.rle import rle_area
from mal.metrics.iou import mask_iou

Resolve = Callable[[Mapping[int, MaskLabel]], Mapping[int, MaskLabel]]
"""Takes the labels of one image by position, and returns those that change."""


def resolve_images(labels: ShardLabels, boxes: Boxes, resolve: Resolve, path: Path) -> None:
    """Change labels image by image; new labels replace the old ones.

    Args:
        labels: labels of all boxes; the new ones are added.
        boxes: grouped by image.
        resolve: returns the labels that change.
        path: the shard for the new labels; one of an earlier attempt is replaced.

    Raises:
        UserError: the shard cannot be written.
    """
    path.unlink(missing_ok=True)
    chunks = BoxChunks(boxes, 1)
    with ShardWriter(path) as shard:
        for chunk in range(len(chunks)):
            for image in chunks.images(chunk):
                positions = boxes.positions[image.start : image.stop].tolist()
                changed = resolve({position: labels[position] for position in positions if position in labels})
                results = [
                    BoxResult(at, label, warned=labels.warned.get(at) or _oddness(label))
                    for at, label in changed.items()
                ]
                if results:
                    shard.write(results)
    labels.add(path)


def _oddness(label: MaskLabel) -> str | None:
    return None if rle_area(label.rle) else "nothing is left of its mask: the masks of other boxes go before it"


def smallest_box_wins(source: AnnotatedImages, *, load_mask: bool = False) -> Resolve:
    """Make the function that gives a pixel of several labels to the one with the smallest box.

    Args:
        source: annotation file and images.
        load_mask: whether to compare changed labels with the true masks of the file again.
    """
    boxes = source.boxes_to_label
    rows = np.zeros(len(source.coco.annotations), np.int64)
    rows[boxes.positions] = np.arange(len(boxes))
    truth = GroundTruth(source.coco) if load_mask else None

    def resolve(labels: Mapping[int, MaskLabel]) -> Mapping[int, MaskLabel]:
        of_image = [boxes[int(rows[position])] for position in labels]
        found = without_overlap([label.rle for label in labels.values()], [-box.area for box in of_image])
        changed = {}
        for box, label, rle in zip(of_image, labels.values(), found, strict=True):
            if rle != label.rle:
                true = truth.rle(box) if truth else None
                changed[box.position] = replace(label, rle=rle, iou=mask_iou(rle, true) if true else label.iou)
        return changed

    return resolve


def has_mask_to_keep(coco: CocoFile) -> npt.NDArray[np.bool_]:
    """(N,) bool: the annotations with a mask, except empty ones that an earlier run wrote for boxes without a mask."""
    kept = coco.table.has_mask.copy()
    for position, record in enumerate(coco.annotations):
        if kept[position] and _was_left_empty(record):
            kept[position] = False
    return kept


def notes_beside_kept(notes: Iterable[RecordNote], kept: npt.NDArray[np.bool_]) -> list[RecordNote]:
    """Drop notes on boxes that are not labeled; faults of such records stay, as warnings."""
    result = []
    for note in notes:
        if note.position is None or not kept[note.position]:
            result.append(note)
        elif note.action in ("skipped", "warned"):
            result.append(replace(note, action="warned"))
    return result


def _was_left_empty(record: dict[str, Any]) -> bool:
    mark = record.get("mal")
    return (
        isinstance(mark, dict) and mark.get("status") in ("skipped", "failed", "doubtful") and record.get("area") == 0
    )
