"""Evaluate under noisy boxes: the same boxes with more and more noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mal.coco.boxes import Box, Boxes
from mal.coco.coco_file import show
from mal.coco.ground_truth import GroundTruth
from mal.data.label_dataset import CropBatch
from mal.data.loaders import AnnotatedImages
from mal.errors import UserError
from mal.files import write_csv, write_json
from mal.labeler import MaskAutoLabeler
from mal.labeling.pipeline import MaskedBoxes, crop_batches, label_batches
from mal.masks.paste import PastedMask
from mal.masks.rle import Rle
from mal.metrics.baselines import box_mask, ellipse_mask
from mal.metrics.box_noise import KINDS, LEVELS, NOISY, BoxNoise, NoisyTable, noise_figures, noisy_boxes
from mal.metrics.instance_table import InstanceTable
from mal.metrics.iou import mask_iou
from mal.models.prediction_mode import NO_NUMBER
from mal.report.chart_files import write_chart
from mal.report.report_charts import box_noise_chart
from mal.runtime.process_group import ProcessGroup


def measure_box_noise(
    source: AnnotatedImages,
    labeler: MaskAutoLabeler,
    processes: ProcessGroup,
    table: InstanceTable,
    *,
    max_boxes: int,
    batch_size: int,
    num_workers: int,
) -> BoxNoise | None:
    """Measure the mean IoU under every kind and level of box noise.

    Args:
        source: annotation file and images.
        labeler: predicts the masks.
        processes: the process group.
        table: results without noise; needed on rank 0 only.
        max_boxes: number of boxes to choose, evenly spread over the file.
        batch_size: boxes in a batch.
        num_workers: processes that read images.

    Returns:
        None on other ranks, and if no box was evaluated.
    """
    chosen = _chosen(source.boxes_to_label, max_boxes)
    sizes = source.coco.images.sizes[chosen.image_rows]
    found = {
        (kind, level): _measured(
            source,
            labeler,
            processes,
            Boxes(
                source.coco.table,
                source.coco.images,
                chosen.positions,
                noisy_boxes(chosen.xyxy, chosen.positions, sizes, kind, level),
            ),
            name=f"noise: {kind} {level:.0%}",
            batch_size=batch_size,
            num_workers=num_workers,
        )
        for kind in KINDS
        for level in LEVELS
    }
    plain = table[np.isin(table["position"], chosen.positions)]
    if processes.rank or not len(plain):
        return None
    without_noise = noise_figures(0.0, plain)
    return BoxNoise(
        boxes=len(plain),
        boxes_evaluated=len(table),
        images=len(np.unique(plain["image"])),
        **{kind: [without_noise, *(noise_figures(level, found[kind, level]) for level in LEVELS)] for kind in KINDS},
    )


def write_box_noise(noise: BoxNoise, folder: Path) -> None:
    """Write ``box_noise.json``, the same as ``box_noise.csv``, and the curves as ``box_noise.svg`` and ``.png``.

    Raises:
        UserError: a file cannot be written.
    """
    write_json(noise.model_dump(), folder / "box_noise.json")
    rows = [
        (kind, point.level, point.model, point.box, point.ellipse) for kind in KINDS for point in getattr(noise, kind)
    ]
    write_csv(("kind", "level", "model", "box", "ellipse"), rows, folder / "box_noise.csv")
    write_chart(box_noise_chart(noise.model_dump()), folder)


def _chosen(boxes: Boxes, max_boxes: int) -> Boxes:
    rows = np.flatnonzero(boxes.has_mask)
    return boxes.take(rows[np.linspace(0, len(rows) - 1, min(max_boxes, len(rows))).round().astype(np.int64)])


def _measured(
    source: AnnotatedImages,
    labeler: MaskAutoLabeler,
    processes: ProcessGroup,
    boxes: Boxes,
    *,
    name: str,
    batch_size: int,
    num_workers: int,
) -> NoisyTable:
    truth = GroundTruth(source.coco)
    batches = crop_batches(
        source, labeler, processes, name=name, boxes=boxes, batch_size=batch_size, num_workers=num_workers
    )

    def compared(_: CropBatch, masked: MaskedBoxes) -> NoisyTable:
        rows = [(box.position, box.image.position, _ious(box, mask, truth.rle(box))) for box, (mask,) in masked]
        return np.array([row for row in rows if row[2]], NOISY)

    parts = list(label_batches(batches, [labeler], compared))
    gathered = processes.gather(np.concatenate([np.empty(0, NOISY), *parts]))
    table = np.concatenate([np.empty(0, NOISY), *gathered])
    return table[np.argsort(table["position"])]


def _ious(box: Box, predicted: PastedMask | None, truth: Rle | None) -> list[float] | None:
    if truth is None:
        return None
    if predicted is None:
        raise UserError(f"annotation {show(box.annotation_id)} with noise: {NO_NUMBER}")
    x0, y0, x1, y1 = box.xyxy
    noisy, size = (x0, y0, x1 - x0, y1 - y0), (box.image.width, box.image.height)
    return [mask_iou(mask, truth) for mask in (predicted.rle(), box_mask(noisy, *size), ellipse_mask(noisy, *size))]
