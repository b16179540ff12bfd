"""COCO's mask AP of the evaluated masks, of filled boxes and of ellipses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from mal.data.coco import CocoFile
from mal.data.image_table import ImageRecord
from mal.data.notes import RecordNote
from mal.masks.rle import Rle, rle_from_segmentation
from mal.metrics.average_precision import ScoredMask, mask_average_precision
from mal.metrics.baselines import box_mask, ellipse_mask
from mal.metrics.classes import ClassNumbers
from mal.metrics.instance_table import ELLIPSE, FILLED_BOX, MODEL, InstanceTable
from mal.metrics.predictions import read_predictions

Draw = Callable[[Sequence[float], int, int], Rle]


def mask_precisions(
    coco: CocoFile, table: InstanceTable, classes: ClassNumbers, predictions: Path
) -> tuple[dict[str, dict[str, float | None]], list[RecordNote]]:
    """Mask AP by method. The model's masks have its scores; those of the others have all the same.

    Args:
        coco: the annotation file, which also has the crowd regions.
        table: the evaluated boxes.
        classes: their classes.
        predictions: their masks.

    Returns:
        Figures by method, and a note for each crowd region that cannot be read.
    """
    crowds, notes = _crowds(coco, table, classes)
    truths = [*_truths(coco, table), *crowds]
    found = {MODEL: _predicted(table, predictions)}
    for method, draw in ((FILLED_BOX, box_mask), (ELLIPSE, ellipse_mask)):
        found[method] = _drawn(coco, table, draw)
    return {method: mask_average_precision(truths, masks) for method, masks in found.items()}, notes


def _truths(coco: CocoFile, table: InstanceTable) -> Iterator[ScoredMask]:
    for position, image, category in table[["position", "image", "category"]].tolist():
        yield ScoredMask(image, category, _true_mask(coco, position))


def _predicted(table: InstanceTable, predictions: Path) -> Iterator[ScoredMask]:
    for row, prediction in zip(table, read_predictions(predictions), strict=True):
        yield ScoredMask(int(row["image"]), int(row["category"]), prediction.rle, float(row["score"]))


def _drawn(coco: CocoFile, table: InstanceTable, draw: Draw) -> Iterator[ScoredMask]:
    for position, image, category in table[["position", "image", "category"]].tolist():
        record = _image(coco, position)
        yield ScoredMask(image, category, draw(coco.table.xywh[position].tolist(), record.width, record.height))


def _crowds(coco: CocoFile, table: InstanceTable, classes: ClassNumbers) -> tuple[list[ScoredMask], list[RecordNote]]:
    """The crowd regions of evaluated classes in evaluated images."""
    images = coco.images.positions[coco.table.image_rows]
    candidates = coco.table.is_group & (coco.table.image_rows >= 0) & np.isin(images, table["image"])
    crowds, notes = [], []
    for position in np.flatnonzero(candidates).tolist():
        category_id = coco.table.category_ids[position]
        if category_id not in classes:
            continue
        try:
            region = _true_mask(coco, position)
        except ValueError as error:
            reason = f"crowd region not readable, mask AP does without it: {error}"
            image_id = _image(coco, position).id
            notes.append(RecordNote(position, coco.table.ids[position], image_id, "warned", reason))
            continue
        crowds.append(ScoredMask(int(images[position]), classes.number(category_id), region, is_crowd=True))
    return crowds, notes


def _true_mask(coco: CocoFile, position: int) -> Rle:
    image = _image(coco, position)
    return rle_from_segmentation(coco.annotations[position].get("segmentation"), image.height, image.width)


def _image(coco: CocoFile, position: int) -> ImageRecord:
    return coco.images.at(int(coco.table.image_rows[position]))
