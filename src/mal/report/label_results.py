"""Report data from a label file, without true masks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mal.coco.coco_file import CocoFile, category_name, read_coco
from mal.data.images import fill_missing_sizes
from mal.data.picture_remarks import MARK, choose_reading
from mal.errors import UserError
from mal.masks.rle import rle_from_segmentation
from mal.reading import AS_STORED, Reading
from mal.report.page import share_text
from mal.report.report_data import Column, HeadlineMetric, Instances, MaskPair, ReportData, instances_of

LOW_SCORE = 0.5


def read_labels(ann: Path, images: Path, reading: Reading = AS_STORED) -> tuple[ReportData, CocoFile]:
    """The masks of a label file, with what it says of each: ``mask_score``, ``iou`` and the ``mal`` mark; and the file.

    Raises:
        UserError: it is no COCO file, or no annotation in it has a mask.
    """
    coco = read_coco(ann)
    choose_reading(coco, images, reading)
    fill_missing_sizes(coco, images)
    instances = _instances(coco)
    if not len(instances):
        raise UserError(f"{ann}: no annotation has both a box and a mask; `mal inference` and `mal label` write them")
    annotations = coco.annotations

    def masks(row: int) -> MaskPair:
        image = instances.image(row)
        try:
            segmentation = annotations[int(instances.positions[row])]["segmentation"]
            return rle_from_segmentation(segmentation, image.height, image.width), None
        except ValueError:  # a mask of the input that was handed on as it was
            return None, None

    findings = ReportData(
        kind="Labels without truth",
        title=f"Which masks of {ann.name} need a look?",
        summary=_summary(instances),
        facts=[
            ("labels", str(ann)),
            ("images", str(images)),
            ("masks", f"{len(instances):,} in {len(instances.images):,} images, {len(instances.class_names)} classes"),
        ],
        headline_metrics=_headline_metrics(instances),
        instances=instances,
        img_dir=images,
        masks=masks,
    )
    return findings, coco


def _instances(coco: CocoFile) -> Instances:
    table = coco.table
    shown = table.has_mask & (table.image_rows >= 0) & ~np.isnan(table.xywh[:, 0]) & ~table.is_group
    positions = np.flatnonzero(shown)
    columns: dict[str, list[float]] = {"score": [], "iou": []}
    marks: dict[int, str] = {}
    for position, entry in enumerate(coco.annotations):
        if shown[position]:
            columns["score"].append(share_in(entry.get("mask_score")))
            columns["iou"].append(share_in(entry.get("iou")))
            if (reason := doubt_in(entry)) is not None:
                marks[len(columns["score"]) - 1] = reason
    names = [category_name(coco, table.category_ids[position]) for position in positions.tolist()]
    return instances_of(coco, positions, names, columns, marks)


def doubt_in(record: dict[str, Any]) -> str | None:
    """Why the mask of an annotation is marked doubtful; None where it is not."""
    mark = record.get(MARK)
    if isinstance(mark, dict) and mark.get("status") == "doubtful":
        return str(mark.get("reason", "doubtful"))
    return None


def share_in(value: Any) -> float:
    """A number of a file as a share of 0..1; NaN where it is none."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return min(1.0, max(0.0, float(value))) if is_number else float("nan")


def _headline_metrics(instances: Instances) -> list[HeadlineMetric]:
    metrics = []
    for name, title in (("iou", "IoU"), ("score", "Score")):
        if name in instances.measures:
            values = _known(instances.measures[name])
            metrics.append(HeadlineMetric(f"{title}, mean", float(values.mean()), note=f"over {len(values):,} masks"))
            for limit in (0.5, 0.75, 0.9):
                share = float((values >= limit).mean())
                metrics.append(
                    HeadlineMetric(
                        f"{title} ≥ {limit:g}",
                        share,
                        note=f"share of masks: {(values >= limit).sum():,} of {len(values):,}",
                    )
                )
    if instances.marks:
        share = len(instances.marks) / len(instances)
        metrics.append(
            HeadlineMetric(
                "Marked doubtful", share, note=f"share of masks: {len(instances.marks):,}, first in the review queue"
            )
        )
    return metrics


def _summary(instances: Instances) -> str:
    score = instances.measures.get("score")
    if score is None:
        return (
            f"{len(instances):,} masks, without scores: nothing says which of them to look at first. "
            "Label again with a score for each mask to have them ranked."
        )
    known = _known(score)
    low = int((known < LOW_SCORE).sum())
    summary = (
        f"The {len(known):,} masks have a score of {known.mean():.3f} on average, out of 1. "
        f"{low:,} of them ({share_text(low / len(known))}) score below {LOW_SCORE}"
    )
    summary += f", {len(instances.marks):,} are marked doubtful." if instances.marks else "."
    return summary + " A score is an estimate of the IoU: no true mask was seen."


def _known(values: Column) -> Column:
    return values[~np.isnan(values)]
