"""One pass of the network over all boxes with true masks: what it found in numbers, and its masks on the disk."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from mal.data.box import Box
from mal.data.crop_stream import CropBatch
from mal.data.datamodule import AnnotatedImages
from mal.data.ground_truth import GroundTruth
from mal.data.notes import RecordNote
from mal.errors import UserError
from mal.export.onnx_network import OnnxNetwork
from mal.labeler import MaskAutoLabeler
from mal.masks.rle import Rle
from mal.metrics.classes import ClassNumbers
from mal.metrics.clustering import ClassedVectors
from mal.metrics.instance_table import InstanceTable, instance_row, joined
from mal.metrics.iou import mask_iou
from mal.metrics.predictions import PredictionsPart, write_predictions
from mal.models.predict import NO_NUMBER, Network
from mal.tasks.crop_run import Processes, crop_batches
from mal.tasks.label_boxes import MaskedBoxes, label_batches


@dataclass(frozen=True, slots=True)
class Pass:
    """What a pass found, in the first process that of all.

    Attributes:
        table: a row for each box with a true mask.
        failures: boxes whose image could not be read, or at which a network failed, with the reason.
        notes: boxes that have no true mask, or one that says nothing about them.
        vectors: the network's instance vectors, where they were asked for.
        seconds: the time it took, from the first batch to the last row.
        seconds_measuring: how much of it went into comparing masks; with a GPU, threads did so at the same time.
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
    processes: Processes,
    predictions: Path,
    *,
    batch_size: int,
    num_workers: int,
    others: Sequence[MaskAutoLabeler] = (),
    with_vectors: bool = False,
) -> Pass:
    """Label all boxes and compare the masks with the true ones.

    Args:
        source: annotation file and images.
        labeler: makes the masks.
        classes: of the boxes.
        processes: who shares the work.
        predictions: the file for the masks.
        batch_size: boxes that the network sees at once.
        num_workers: processes that read images.
        others: labelers of the networks that ``labeler`` does not ask alone, see :func:`other_networks`; with them, the
            table says how far student and teacher agree.
        with_vectors: whether to keep the instance vectors.
    """
    truth = GroundTruth(source.coco)
    part = PredictionsPart(predictions, processes.rank)
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

    for found, seconds in label_batches(noted(), (labeler, *others), measured):
        clock.measuring += seconds
        for each in found:
            if isinstance(each, Box):
                failures.append((each, NO_NUMBER))
                continue
            part.add(each.box, each.rle, each.score)
            rows.append(each.row)
    seconds = clock.elapsed
    gathered = processes.gather((joined(rows), failures, truth.notes, vectors, part.close()))
    if gathered:
        write_predictions([written for *_, written in gathered], predictions)
    missing = {place: note for _, _, notes, _, _ in gathered for place, note in notes.items()}
    return Pass(
        table=joined([table for table, *_ in gathered]),
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
    """What the first labeler's masks are worth, and how far the last two agree; a box at which a network has failed."""
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
    """The same labeler asking the other network; where it asks the mean of both, one for each.

    Raises:
        UserError: it is of an exported network, which is one only.
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
    positions = torch.tensor([box.position for box in batch.boxes])
    numbers = torch.tensor([classes.number(box.category_id) for box in batch.boxes])
    return ClassedVectors(positions, labeler.instance_vectors(batch).float().cpu(), numbers)
