"""From crops to labels, and on to a shard."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

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


def label_batches(
    batches: Iterable[CropBatch], labeler: MaskAutoLabeler, truth: GroundTruth | None = None
) -> Iterator[list[Finding]]:
    """What becomes of the boxes of each batch, in their order.

    Args:
        batches: crops, and boxes that have none.
        labeler: makes the masks.
        truth: true masks to compare with; None leaves the comparison out.
    """

    def computed() -> Iterator[tuple[CropBatch, Arriving | None]]:
        for batch in batches:
            yield batch, on_its_way_to_the_cpu(labeler.probabilities(batch)) if len(batch) else None

    def found(job: tuple[CropBatch, Arriving | None]) -> list[Finding]:
        batch, probs = job
        findings = [Finding(box.position, failed=reason) for box, reason in batch.failures]
        if probs is not None:
            masks = zip(batch.boxes, labeler.pasted(batch, probs()), strict=True)
            findings += [_finding(box, mask, truth) for box, mask in masks]
        return findings

    yield from done_in_background(found, computed(), threads=encoders_beside(labeler.device))


def write_shard(
    batches: Iterable[CropBatch], labeler: MaskAutoLabeler, path: Path, truth: GroundTruth | None = None
) -> None:
    """Label batches and write what is found to a new shard, batch by batch; arguments as of `label_batches`.

    Raises:
        UserError: the shard cannot be written.
    """
    with ShardWriter(path) as shard:
        for findings in label_batches(batches, labeler, truth):
            shard.write(findings)


def labels_of(
    source: AnnotatedImages, labeler: MaskAutoLabeler, *, batch_size: int, num_workers: int = 0
) -> dict[int, Label]:
    """The labels of a small file, by position, in memory."""
    boxes = source.boxes_to_label
    batches = crop_loader(boxes, source.img_dir, labeler.crop, batch_size=batch_size, num_workers=num_workers)
    findings = [finding for batch in label_batches(batches, labeler) for finding in batch]
    return {finding.position: finding.label for finding in findings if finding.label is not None}


def _finding(box: Box, mask: PastedMask | None, truth: GroundTruth | None) -> Finding:
    if mask is None:
        return Finding(box.position, failed=NO_NUMBER)
    rle = mask.rle()
    true_mask = truth.rle(box) if truth else None
    note = truth.notes.pop(box.position, None) if truth else None
    iou = mask_iou(rle, true_mask) if true_mask else None
    return Finding(box.position, Label(rle, iou, mask.score), warned=note.reason if note else None)
