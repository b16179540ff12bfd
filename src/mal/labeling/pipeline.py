"""The labeling pipeline: crops, network, masks, shard."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt

from mal.coco.boxes import Box, Boxes
from mal.coco.ground_truth import GroundTruth
from mal.config.schema import ExperimentSpec, resolve_encryption_key
from mal.console import console, task_progress
from mal.data.label_dataset import CropBatch
from mal.data.loaders import AnnotatedImages, crop_loader
from mal.labeler import MaskAutoLabeler
from mal.labeling.shards import BoxResult, MaskLabel, ShardWriter
from mal.load_model import LoadedModel, load_model
from mal.masks.paste import PastedMask
from mal.metrics.iou import mask_iou
from mal.models.prediction_mode import NO_NUMBER, PendingArray
from mal.runtime.allocator import keep_freed_memory
from mal.runtime.process_group import ProcessGroup
from mal.runtime.threads import map_in_threads, num_encoder_threads, num_read_ahead, read_ahead


def crop_batches(
    source: AnnotatedImages,
    labeler: MaskAutoLabeler,
    processes: ProcessGroup,
    *,
    name: str,
    batch_size: int,
    num_workers: int,
    boxes: Boxes | None = None,
    done: npt.NDArray[np.bool_] | None = None,
) -> Iterator[CropBatch]:
    """Yield all crops of this rank's share of the work, with a progress bar.

    Args:
        source: annotation file and images.
        labeler: has the crop settings.
        processes: the process group.
        name: label of the progress bar.
        batch_size: boxes in a batch.
        num_workers: processes that read images.
        boxes: boxes to crop; None takes all boxes of the file.
        done: (N,) bool, the boxes that need no crop, see `mal.data.label_dataset.BoxCropIterable`.
    """
    boxes = source.boxes_to_label if boxes is None else boxes
    loader = crop_loader(
        boxes,
        source.img_dir,
        labeler.crop,
        batch_size=batch_size,
        num_workers=num_workers,
        rank=processes.rank,
        world_size=processes.world_size,
        done=done,
    )
    with progress_of_first(name, len(boxes) if done is None else int((~done).sum()), processes) as advance:
        for batch in read_ahead(loader, num_read_ahead(labeler.device)):
            yield batch
            advance((len(batch) + len(batch.failures)) * processes.world_size)


@contextmanager
def progress_of_first(name: str, total: int, processes: ProcessGroup) -> Iterator[Callable[[int], None]]:
    """A progress bar in the first process; gives the function that advances it."""
    if processes.rank:
        yield lambda count: None
        return
    with task_progress(name, total) as progress:
        yield lambda count: progress.advance(min(count, total - progress.done))


Found = TypeVar("Found")
MaskedBoxes = Iterator[tuple[Box, tuple[PastedMask | None, ...]]]
"""Boxes, each with its masks; a mask is None if the network's output is not finite."""


def label_batches(
    batches: Iterable[CropBatch],
    labelers: Sequence[MaskAutoLabeler],
    finish: Callable[[CropBatch, MaskedBoxes], Found],
) -> Iterator[Found]:
    """The only inference loop: networks run in this thread, post-processing runs in others.

    Args:
        batches: crops, and boxes without a crop.
        labelers: their networks are run, all on one device.
        finish: turns a batch and its boxes, each with a mask of every labeler, into a result; called concurrently
            in several threads. A batch without crops has no boxes here.

    Yields:
        The results of ``finish``, in the order of the batches.
    """

    if labelers[0].device == "cpu":
        keep_freed_memory()

    def computed() -> Iterator[tuple[CropBatch, list[PendingArray]]]:
        for batch in batches:
            asked = labelers if len(batch) else ()
            yield batch, [labeler.start(batch) for labeler in asked]

    def finished(job: tuple[CropBatch, list[PendingArray]]) -> Found:
        batch, arriving = job
        pasted = [labeler.pasted(batch, probs()) for labeler, probs in zip(labelers, arriving, strict=False)]
        return finish(batch, zip(batch.boxes, zip(*pasted, strict=True), strict=True) if pasted else iter(()))

    yield from map_in_threads(finished, computed(), threads=num_encoder_threads(labelers[0].device))


def find_labels(
    batches: Iterable[CropBatch], labeler: MaskAutoLabeler, truth: GroundTruth | None = None
) -> Iterator[list[BoxResult]]:
    """Yield the results of each batch's boxes, in order.

    Args:
        batches: crops, and boxes without a crop.
        labeler: predicts the masks.
        truth: true masks to compare with; None skips the comparison.
    """

    def results(batch: CropBatch, masked: MaskedBoxes) -> list[BoxResult]:
        failed = [BoxResult(box.position, failed=reason) for box, reason in batch.failures]
        return failed + [_box_result(box, mask, truth) for box, (mask,) in masked]

    return label_batches(batches, [labeler], results)


def write_shard(
    batches: Iterable[CropBatch], labeler: MaskAutoLabeler, path: Path, truth: GroundTruth | None = None
) -> None:
    """Label batches and write the results to a new shard, batch by batch; arguments as in `find_labels`.

    Raises:
        UserError: the shard cannot be written.
    """
    write_results(find_labels(batches, labeler, truth), path)


def write_results(found: Iterable[list[BoxResult]], path: Path) -> None:
    """Write results to a new shard, each list at once.

    Raises:
        UserError: the shard cannot be written.
    """
    with ShardWriter(path) as shard:
        for results in found:
            shard.write(results)


def compute_labels(
    source: AnnotatedImages, labeler: MaskAutoLabeler, *, batch_size: int, num_workers: int = 0
) -> dict[int, MaskLabel]:
    """Label a small file in memory; labels by position."""
    boxes = source.boxes_to_label
    batches = crop_loader(boxes, source.img_dir, labeler.crop, batch_size=batch_size, num_workers=num_workers)
    results = [result for batch in find_labels(batches, labeler) for result in batch]
    return {result.position: result.label for result in results if result.label is not None}


def _box_result(box: Box, mask: PastedMask | None, truth: GroundTruth | None) -> BoxResult:
    if mask is None:
        return BoxResult(box.position, failed=NO_NUMBER)
    rle = mask.rle()
    true_mask = truth.rle(box) if truth else None
    note = truth.notes.pop(box.position, None) if truth else None
    iou = mask_iou(rle, true_mask) if true_mask else None
    return BoxResult(box.position, MaskLabel(rle, iou, mask.score), warned=note.reason if note else None)


LabelingTask = Literal["evaluate", "inference"]


def load_networks(path: str, spec: ExperimentSpec, task: LabelingTask) -> LoadedModel:
    """Load a checkpoint or an exported network, and print which settings it provides and which it does not.

    Args:
        path: the file.
        spec: as the user gave it; the result has the complete one.
        task: the task that runs the networks.

    Raises:
        UserError: the file cannot be read, or contradicts the spec.
    """
    held = load_model(Path(path), spec, encryption_key=resolve_encryption_key(spec))
    for line in held.effective.log_lines(task):
        console.print(line, markup=False, soft_wrap=True)
    return held


def make_labeler(held: LoadedModel, processes: ProcessGroup, task: LabelingTask = "inference") -> MaskAutoLabeler:
    """Make the labeler of a task, on the device of this process.

    Args:
        held: networks and complete spec.
        processes: the process group; sets device and precision.
        task: the section that selects the network and the mode; evaluation always scores.
    """
    return MaskAutoLabeler.from_spec(
        held.student,
        held.teacher,
        held.spec,
        task,
        scored=task == "evaluate" or held.spec.inference.score,
        device=processes.device,
        autocast_dtype=processes.autocast_dtype,
    )
