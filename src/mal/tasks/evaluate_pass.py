"""One evaluation pass: metrics of each box, its mask on disk, COCO's mask AP."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mal.coco.boxes import Box
from mal.coco.coco_file import CocoFile
from mal.coco.ground_truth import GroundTruth
from mal.coco.notes import RecordNote
from mal.coco.tables import ImageRecord
from mal.data.label_dataset import CropBatch
from mal.data.loaders import AnnotatedImages
from mal.errors import UserError
from mal.export.onnx_network import OnnxNetwork
from mal.labeler import MaskAutoLabeler
from mal.labeling.pipeline import MaskedBoxes, crop_batches, label_batches
from mal.masks.rle import Rle, rle_from_segmentation
from mal.metrics.average_precision import ScoredMask, mask_average_precision
from mal.metrics.baselines import box_mask, ellipse_mask
from mal.metrics.clusters import ClassedVectors
from mal.metrics.instance_table import ELLIPSE, FILLED_BOX, MODEL, InstanceTable, concatenate_tables, instance_row
from mal.metrics.iou import mask_iou
from mal.metrics.predictions import PredictionsPart, read_predictions, write_predictions
from mal.metrics.summary import ClassNumbers
from mal.models.prediction_mode import NO_NUMBER, Network
from mal.runtime.process_group import ProcessGroup

Draw = Callable[[Sequence[float], int, int], Rle]


def mask_precisions(
    coco: CocoFile, table: InstanceTable, classes: ClassNumbers, predictions: Path
) -> tuple[dict[str, dict[str, float | None]], list[RecordNote]]:
    """Compute mask AP by method. The model's masks have its scores; the baselines' scores are all equal.

    Args:
        coco: the annotation file, with the crowd regions.
        table: the evaluated boxes.
        classes: their classes.
        predictions: file of their masks.

    Returns:
        Metrics by method, and a note for each crowd region that cannot be read.
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


@dataclass(frozen=True, slots=True)
class EvaluationResult:
    """Results of an evaluation pass; on rank 0, of all ranks.

    Attributes:
        table: a row for each box with a true mask.
        failures: boxes whose image could not be read, or for which a network failed, with the reason.
        notes: boxes without a usable true mask.
        vectors: the network's instance vectors, if requested.
        seconds: duration, from the first batch to the last row.
        seconds_measuring: time spent comparing masks; with a GPU, in parallel threads.
    """

    table: InstanceTable
    failures: list[tuple[Box, str]]
    notes: list[RecordNote]
    vectors: list[ClassedVectors]
    seconds: float
    seconds_measuring: float


@dataclass(frozen=True, slots=True)
class _Measured:
    row: InstanceTable
    box: Box
    rle: Rle
    score: float


def evaluate_boxes(
    source: AnnotatedImages,
    labeler: MaskAutoLabeler,
    classes: ClassNumbers,
    processes: ProcessGroup,
    predictions: Path,
    *,
    batch_size: int,
    num_workers: int,
    others: Sequence[MaskAutoLabeler] = (),
    with_vectors: bool = False,
) -> EvaluationResult:
    """Label all boxes and compare the masks with the true ones.

    Args:
        source: annotation file and images.
        labeler: predicts the masks.
        classes: class numbers of the boxes.
        processes: the process group.
        predictions: the file for the masks.
        batch_size: boxes in a batch.
        num_workers: processes that read images.
        others: labelers of the other networks, see :func:`other_networks`; with them, the table has the agreement of
            student and teacher.
        with_vectors: whether to keep the instance vectors.
    """
    truth = GroundTruth(source.coco)
    failures: list[tuple[Box, str]] = []
    vectors: list[ClassedVectors] = []
    rows: list[InstanceTable] = []
    clock = _Clock()
    batches = crop_batches(
        source, labeler, processes, name="evaluating", batch_size=batch_size, num_workers=num_workers
    )

    def noted() -> Iterator[CropBatch]:
        for batch in batches:
            failures.extend(batch.failures)
            if with_vectors and len(batch):
                vectors.append(_classed_vectors(batch, labeler, classes))
            yield batch

    def measured(_: CropBatch, masked: MaskedBoxes) -> tuple[list[_Measured | Box], float]:
        start = time.monotonic()
        return list(_compared(masked, truth, classes)), time.monotonic() - start

    with PredictionsPart(predictions, processes.rank) as part:
        for found, seconds in label_batches(noted(), (labeler, *others), measured):
            clock.measuring += seconds
            for each in found:
                if isinstance(each, Box):
                    failures.append((each, NO_NUMBER))
                    continue
                part.add(each.box, each.rle, each.score)
                rows.append(each.row)
    seconds = clock.elapsed
    gathered = processes.gather((concatenate_tables(rows), failures, truth.notes, vectors, part.close()))
    if gathered:
        write_predictions([written for *_, written in gathered], predictions)
    missing = {place: note for _, _, notes, _, _ in gathered for place, note in notes.items()}
    return EvaluationResult(
        table=concatenate_tables([table for table, *_ in gathered]),
        failures=sorted((each for _, part, *_ in gathered for each in part), key=lambda each: each[0].position),
        notes=[note for _, note in sorted(missing.items())],
        vectors=[each for _, _, _, part, _ in gathered for each in part],
        seconds=seconds,
        seconds_measuring=clock.measuring,
    )


class _Clock:
    def __init__(self) -> None:
        self._start = time.monotonic()
        self.measuring = 0.0

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self._start


def _compared(masked: MaskedBoxes, truth: GroundTruth, classes: ClassNumbers) -> Iterator[_Measured | Box]:
    """Measure the first labeler's masks and the agreement of the last two; yield the box itself if a network failed."""
    for box, masks in masked:
        true_mask = truth.rle(box)
        whole = [mask for mask in masks if mask is not None]
        if len(whole) < len(masks):
            yield box
        elif true_mask is not None:
            rles = [mask.rle() for mask in whole]
            agreement = mask_iou(rles[-2], rles[-1]) if len(rles) > 1 else float("nan")
            score = whole[0].score
            assert score is not None
            number = classes.number(box.category_id)
            row = instance_row(box, number, rles[0], true_mask, score=score, agreement=agreement)
            yield _Measured(row, box, rles[0], score)


def other_networks(labeler: MaskAutoLabeler) -> list[MaskAutoLabeler]:
    """Copies of the labeler that run the other network; two copies, one for each, if it runs the mean of both.

    Raises:
        UserError: the labeler runs an exported network, which is a single one.
    """
    if isinstance(labeler.student, OnnxNetwork):
        raise UserError(f"{labeler.student.path}: holds one network; --agreement needs the checkpoint, which has two")
    networks: tuple[Network, Network] = ("student", "teacher")
    return [_asking(labeler, network) for network in networks if network != labeler.mode.network]


def _asking(labeler: MaskAutoLabeler, network: Network) -> MaskAutoLabeler:
    other = copy(labeler)
    other.mode, other.scored = replace(labeler.mode, network=network), False
    return other


def _classed_vectors(batch: CropBatch, labeler: MaskAutoLabeler, classes: ClassNumbers) -> ClassedVectors:
    positions = np.array([box.position for box in batch.boxes], np.int64)
    numbers = np.array([classes.number(box.category_id) for box in batch.boxes], np.int64)
    return ClassedVectors(positions, labeler.instance_vectors(batch), numbers)
