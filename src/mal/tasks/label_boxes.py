"""From crops to labels, and on to a shard."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from mal.data.box import Box
from mal.data.crop_stream import CropBatch
from mal.data.datamodule import AnnotatedImages, crop_loader
from mal.data.ground_truth import GroundTruth
from mal.labeler import MaskAutoLabeler
from mal.labelling.label import Label
from mal.labelling.shards import Finding, ShardWriter
from mal.masks.paste import PastedMask
from mal.metrics.iou import mask_iou
from mal.models.predict import NO_NUMBER
from mal.tasks.in_background import Arriving, done_in_background, encoders_beside, on_its_way_to_the_cpu

Found = TypeVar("Found")
MaskedBoxes = Iterator[tuple[Box, tuple[PastedMask | None, ...]]]
"""Boxes, each with its masks; a mask is None where the network's values are not numbers."""


def label_batches(
    batches: Iterable[CropBatch],
    labelers: Sequence[MaskAutoLabeler],
    finish: Callable[[CropBatch, MaskedBoxes], Found],
) -> Iterator[Found]:
    """The one loop of inference: networks run in this thread, and what is made of their masks in others beside it.

    Args:
        batches: crops, and boxes that have none.
        labelers: whose networks are asked, all on one device.
        finish: makes something of a batch and its boxes, each with a mask of every labeler; called in any thread, for
            several batches at once. A batch without crops has no boxes here.

    Yields:
        What ``finish`` gives, in the order of the batches.
    """

    def computed() -> Iterator[tuple[CropBatch, list[Arriving]]]:
        for batch in batches:
            asked = labelers if len(batch) else ()
            yield batch, [on_its_way_to_the_cpu(labeler.probabilities(batch)) for labeler in asked]

    def finished(job: tuple[CropBatch, list[Arriving]]) -> Found:
        batch, arriving = job
        pasted = [labeler.pasted(batch, probs()) for labeler, probs in zip(labelers, arriving, strict=False)]
        return finish(batch, zip(batch.boxes, zip(*pasted, strict=True), strict=True) if pasted else iter(()))

    yield from done_in_background(finished, computed(), threads=encoders_beside(labelers[0].device))


def find_labels(
    batches: Iterable[CropBatch], labeler: MaskAutoLabeler, truth: GroundTruth | None = None
) -> Iterator[list[Finding]]:
    """What becomes of the boxes of each batch, in their order.

    Args:
        batches: crops, and boxes that have none.
        labeler: makes the masks.
        truth: true masks to compare with; None leaves the comparison out.
    """

    def findings(batch: CropBatch, masked: MaskedBoxes) -> list[Finding]:
        failed = [Finding(box.position, failed=reason) for box, reason in batch.failures]
        return failed + [_finding(box, mask, truth) for box, (mask,) in masked]

    return label_batches(batches, [labeler], findings)


def write_shard(
    batches: Iterable[CropBatch], labeler: MaskAutoLabeler, path: Path, truth: GroundTruth | None = None
) -> None:
    """Label batches and write what is found to a new shard, batch by batch; arguments as of `find_labels`.

    Raises:
        UserError: the shard cannot be written.
    """
    with ShardWriter(path) as shard:
        for findings in find_labels(batches, labeler, truth):
            shard.write(findings)


def labels_of(
    source: AnnotatedImages, labeler: MaskAutoLabeler, *, batch_size: int, num_workers: int = 0
) -> dict[int, Label]:
    """The labels of a small file, by position, in memory."""
    boxes = source.boxes_to_label
    batches = crop_loader(boxes, source.img_dir, labeler.crop, batch_size=batch_size, num_workers=num_workers)
    findings = [finding for batch in find_labels(batches, labeler) for finding in batch]
    return {finding.position: finding.label for finding in findings if finding.label is not None}


def _finding(box: Box, mask: PastedMask | None, truth: GroundTruth | None) -> Finding:
    if mask is None:
        return Finding(box.position, failed=NO_NUMBER)
    rle = mask.rle()
    true_mask = truth.rle(box) if truth else None
    note = truth.notes.pop(box.position, None) if truth else None
    iou = mask_iou(rle, true_mask) if true_mask else None
    return Finding(box.position, Label(rle, iou, mask.score), warned=note.reason if note else None)
