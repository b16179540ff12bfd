"""A labeling job from start to end, resumed after every stop."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mal.coco.boxes import Boxes, box_suspicion
from mal.coco.ground_truth import GroundTruth
from mal.coco.notes import Action, RecordNote
from mal.console import console
from mal.data.label_dataset import BoxCropIterable
from mal.data.loaders import AnnotatedImages
from mal.errors import UserError
from mal.files import remove_stale_temp_files
from mal.labeler import MaskAutoLabeler
from mal.labeling.forks import labels_by_forks, num_forks
from mal.labeling.label_file import settled, write_label_file
from mal.labeling.pipeline import crop_batches, find_labels, progress_of_first, write_results
from mal.labeling.report import label_report, summary_lines, write_label_report, write_skipped_csv
from mal.labeling.resolve import Resolve, has_mask_to_keep, notes_beside_kept, resolve_images
from mal.labeling.run import RUN_KEY, Identity, LabelRun, finished_run, is_finished, open_run
from mal.labeling.run_lock import only_run_in
from mal.labeling.shards import BoxResult, Positions, ShardLabels
from mal.runtime.process_group import ProcessGroup
from mal.runtime.status import StatusLog

SECONDS_TO_APPEAR = 30.0  # for a file that another machine writes to a shared disk


@dataclass(frozen=True, kw_only=True)
class LabelJob:
    """What to label, and where to write the results.

    Attributes:
        source: annotation file and images.
        output: the label file.
        report: the report beside it.
        skipped: the report's records as a table.
        shards: folder of intermediate results.
        identity: returns everything that decides the masks; deterministic, see `mal.labeling.run.run_identity`.
        batch_size: boxes in a batch.
        num_workers: processes that read images.
        load_mask: compare with the true masks of the file.
        keep_existing_masks: label only annotations without a mask.
        min_score: labels with a lower score are marked as doubtful; None marks none.
        overwrite: whether a finished output may be replaced.
        restart: whether to discard the results of an unfinished run.
        on_start: called on every rank once the run is certain to write results.
        on_complete: called on rank 0 once the output is complete; its argument is whether this run wrote it.
        resolve: changes the labels of an image once all of them exist; None changes none.
    """

    source: AnnotatedImages
    output: Path
    report: Path
    skipped: Path
    shards: Path
    identity: Callable[[], Identity]
    batch_size: int
    num_workers: int
    load_mask: bool = False
    keep_existing_masks: bool = False
    min_score: float | None = None
    overwrite: bool = False
    restart: bool = False
    on_start: Callable[[], None] = lambda: None
    on_complete: Callable[[bool], None] = lambda is_new: None
    resolve: Resolve | None = None
    tells_paths: bool = True


@dataclass(frozen=True, slots=True)
class LabelWork:
    """The work of one run.

    Attributes:
        run: stores the results.
        boxes: all boxes to label, grouped by image.
        done: (N,) bool, the boxes that an earlier attempt has labeled.
        kept: (num_annotations,) bool, the annotations that keep their mask.
    """

    run: LabelRun
    boxes: Boxes
    done: npt.NDArray[np.bool_]
    kept: npt.NDArray[np.bool_]


Engine = Callable[[LabelJob, LabelWork], None]
"""Labels the boxes that are not done yet and writes shards."""


def run_job(job: LabelJob, processes: ProcessGroup, engine: Engine, status: StatusLog | None = None) -> int:
    """Label all boxes that are not labeled yet, then write the label file and the report.

    Args:
        job: what to do.
        processes: the process group; rank 0 writes the files.
        engine: labels the boxes; called on every rank.
        status: log of the run's end.

    Returns:
        Exit code: 1 when a box that should have a mask has none.

    Raises:
        UserError: the output may not be written, or the folder holds an unfinished run with another identity.
    """
    with nullcontext() if processes.rank else only_run_in(job.shards):
        return _run_alone(job, processes, engine, status)


def _run_alone(job: LabelJob, processes: ProcessGroup, engine: Engine, status: StatusLog | None) -> int:
    run = processes.agree(
        lambda: open_run(
            job.shards,
            job.identity(),
            job.output,
            overwrite=job.overwrite,
            restart=job.restart,
            is_finished=lambda: is_finished(job.report, decides_the_file(job), job.output),
        )
    )
    if run is None:
        if not processes.rank:
            _complete(job)
        return 0
    job.on_start()
    if suspected := box_suspicion(job.source.coco):
        console.print(f"{job.source.coco.path}: {suspected}")
    work = _work(job, run, processes)
    if not work.done.all():
        engine(job, work)
    if processes.rank:
        return 0
    exit_code = finish_job(job, work, status)
    job.on_complete(True)
    return exit_code


def decides_the_file(job: LabelJob) -> Identity:
    """The settings that decide the label file: its masks, and which of them are marked."""
    return {**job.identity(), "min_score": job.min_score}


def _complete(job: LabelJob) -> None:
    """Write only the missing files of a finished run, after a kill or because someone removed them."""
    console.print(f"{job.output} is complete: nothing is left to label")
    for folder in {job.output.parent, job.report.parent, job.skipped.parent}:
        remove_stale_temp_files(folder)
    if job.report.exists() and not job.skipped.exists():
        write_skipped_csv(json.loads(job.report.read_bytes())["records"], job.skipped)
    job.on_complete(False)


def boxes_to_label(
    source: AnnotatedImages, *, keep_existing_masks: bool = False
) -> tuple[Boxes, npt.NDArray[np.bool_]]:
    """Select the boxes to label, and the annotations that keep their mask, (num_annotations,) bool."""
    boxes = source.boxes_to_label
    if not keep_existing_masks:
        return boxes, np.zeros(len(source.coco.annotations), np.bool_)
    kept = has_mask_to_keep(source.coco)
    return boxes.take(np.flatnonzero(~kept[boxes.positions])), kept


def label_here(load: Callable[[], MaskAutoLabeler], processes: ProcessGroup) -> Engine:
    """Make the engine that labels in the running process group.

    Args:
        load: returns the labeler; called only if there is something to label.
        processes: the process group.
    """

    def label(job: LabelJob, work: LabelWork) -> None:
        labeler = load()
        shard = work.run.new_shard(f"{processes.rank:04d}")
        write_results(_found_labels(job, work, labeler, processes), shard)
        for name, size in processes.gather((shard.name, shard.stat().st_size)):
            _wait_for(work.run.folder / name, size)

    return label


def _found_labels(
    job: LabelJob, work: LabelWork, labeler: MaskAutoLabeler, processes: ProcessGroup
) -> Iterator[list[BoxResult]]:
    truth = GroundTruth(job.source.coco) if job.load_mask else None
    stream = BoxCropIterable(work.boxes, job.source.img_dir, labeler.crop, batch_size=job.batch_size, done=work.done)
    if forks := num_forks(stream, labeler, processes, job.num_workers):
        with progress_of_first("labelling", int((~work.done).sum()), processes) as advance:
            for results in labels_by_forks(stream, labeler, truth, forks):
                yield results
                advance(len(results))
        return
    batches = crop_batches(
        job.source,
        labeler,
        processes,
        name="labelling",
        batch_size=job.batch_size,
        num_workers=job.num_workers,
        boxes=work.boxes,
        done=work.done,
    )
    yield from find_labels(batches, labeler, truth)


def finish_job(job: LabelJob, work: LabelWork, status: StatusLog | None = None) -> int:
    """Merge the shards of a run into the label file, print a summary, and remove the shards if no box has failed.

    Returns:
        Exit code as of `run_job`.
    """
    coco = job.source.coco
    with ShardLabels(_are_boxes(work.boxes, work.kept), work.run.shards) as labels:
        if job.resolve is not None:
            resolve_images(labels, work.boxes, job.resolve, work.run.resolved_shard)
        notes = [
            *notes_beside_kept(_own_notes(job.source), work.kept),
            *sorted(
                [*_notes(job.source, "failed", labels.failed), *_notes(job.source, "warned", labels.warned)],
                key=lambda note: note.position or 0,
            ),
        ]
        changes = write_label_file(coco, labels, notes, job.output, kept=Positions(work.kept), min_score=job.min_score)
        labelled, kept = labels.done, work.kept.copy()
    notes = settled(notes, changes, labelled, kept)
    report = label_report(coco, Positions(labelled), notes, Positions(kept))
    has_failures = any(note.action == "failed" for note in notes)
    if not has_failures:
        report[RUN_KEY] = finished_run(decides_the_file(job), job.output)
    write_label_report(report, job.report)
    write_skipped_csv(report["records"], job.skipped)
    for line in summary_lines(report):
        console.print(line)
    if status is not None:
        status.write("labelled", report["counts"])
    if job.tells_paths:
        console.print(f"labels: {job.output}")
        console.print(f"report: {job.report}, its records as a table: {job.skipped}")
    if has_failures:
        console.print("the same command labels the boxes that failed, and only these, once their images can be read")
        return 1
    work.run.finish()
    return 0


def _work(job: LabelJob, run: LabelRun, processes: ProcessGroup) -> LabelWork:
    boxes, kept = boxes_to_label(job.source, keep_existing_masks=job.keep_existing_masks)

    def done() -> npt.NDArray[np.bool_]:
        with ShardLabels(_are_boxes(boxes, kept), run.shards) as labels:
            return labels.done[boxes.positions]

    work = LabelWork(run, boxes, processes.agree(done), kept)
    if run.attempt > 1:
        console.print(f"going on: {int(work.done.sum())} of {len(boxes)} boxes are labelled already")
    return work


def _are_boxes(boxes: Boxes, kept: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """(num_annotations,) bool: the annotations that are labeled."""
    are_boxes = np.zeros(len(kept), np.bool_)
    are_boxes[boxes.positions] = True
    return are_boxes


def _own_notes(source: AnnotatedImages) -> list[RecordNote]:
    """The notes from reading, without those of the file itself, which the report adds."""
    of_file = {id(note) for note in source.coco.notes}
    return [note for note in source.notes if id(note) not in of_file]


def _notes(source: AnnotatedImages, action: Action, reasons: Mapping[int, str]) -> list[RecordNote]:
    table, images = source.coco.table, source.coco.images
    return [
        RecordNote(position, table.ids[position], images.at(int(table.image_rows[position])).id, action, reason)
        for position, reason in reasons.items()
    ]


def _wait_for(shard: Path, size: int) -> None:
    """Wait until a file that another process wrote is visible here.

    Raises:
        UserError: it does not appear in time.
    """
    deadline = time.monotonic() + SECONDS_TO_APPEAR
    while not shard.exists() or shard.stat().st_size < size:
        if time.monotonic() > deadline:
            raise UserError(
                f"{shard}: another process wrote it, but it is not to be seen here: put the results folder on a disk"
                " that all machines share"
            )
        time.sleep(0.1)
