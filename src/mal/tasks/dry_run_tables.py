"""Terminal output of a dry run."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

from rich.table import Table

from mal.coco.boxes import Box
from mal.coco.coco_file import show
from mal.coco.statistics import NoteGroup, class_counts, note_groups, share_up_to, size_counts
from mal.config.schema import ExperimentSpec
from mal.runtime.devices import DevicePlan
from mal.size_bins import BIN_ENDS, SIZE_NAMES
from mal.training.initial_weights import StartingPoint
from mal.training.inputs import TrainingInputs
from mal.training.module import RunSize
from mal.training.trial_run import DiskNeed, Trial, num_validations

CLASSES_SHOWN = 12
REASONS_SHOWN = 12


def run_table(start: StartingPoint, plan: DevicePlan, size: RunSize) -> Table:
    """Results folder, network and initial weights of the run."""
    spec = start.spec
    millions = sum(parameter.numel() for parameter in start.student.parameters()) / 1e6
    return _facts(
        "the run",
        ("runs on", plan.summary),
        ("network", f"{spec.model.arch}, {millions:.2f} million parameters, and its teacher"),
        ("crops", f"{spec.dataset.crop_size} x {spec.dataset.crop_size} pixels"),
        ("starts", _start(start, size)),
    )


def counts_table(inputs: TrainingInputs) -> Table:
    """Numbers of images, annotations and boxes of both files."""
    table = _numbers("what is read", "", "images", "annotations", "boxes", "left out", "masks", "no mask")
    coco, boxes = inputs.source.coco, inputs.training.boxes
    annotations = len(coco.annotations)
    table.add_row("training", *_texts(len(coco.images), annotations, len(boxes), annotations - len(boxes)), "-", "-")
    if inputs.validation is None:
        table.add_row("validation", *"------")
        return table
    coco, boxes = inputs.validation.coco, inputs.validation.boxes_to_label
    annotations = len(coco.annotations)
    masks = int(boxes.has_mask.sum())
    counts = (len(coco.images), annotations, len(boxes), annotations - len(boxes), masks, len(boxes) - masks)
    table.add_row("validation", *_texts(*counts))
    return table


def notes_tables(left_out: Sequence[NoteGroup], inputs: TrainingInputs) -> list[Table]:
    """Records left out or odd in each file; no table for a file without any.

    Args:
        left_out: note groups of the training file.
        inputs: the training inputs.
    """
    odd = note_groups(note for note in inputs.notes if note.action in ("clipped", "warned"))
    tables = [_notes_table("training file: left out, clipped or odd", [*left_out, *odd])]
    if inputs.validation is not None:
        tables.append(_notes_table("validation file: left out, clipped or odd", note_groups(inputs.validation.notes)))
    return [table for table in tables if table.row_count]


def class_counts_table(inputs: TrainingInputs) -> Table:
    """Boxes by class."""
    validation = inputs.validation
    of_validation = (validation.coco, validation.boxes_to_label) if validation else None
    classes = class_counts(inputs.source.coco, inputs.training.boxes, of_validation)
    hidden = len(classes) - CLASSES_SHOWN
    title = "classes with most boxes" + (f" ({hidden} more)" if hidden > 0 else "")
    table = _numbers(title, "class", "to train on", "left out", "validation")
    for entry in classes[:CLASSES_SHOWN]:
        table.add_row(entry.name, *_texts(entry.trained, entry.left_out, entry.validation))
    return table


def size_counts_table(inputs: TrainingInputs) -> Table:
    """Boxes by size."""
    table = _numbers("sizes", "", "up to", "to train on", "share", "validation", "share")
    counts = [size_counts(boxes) for boxes in (inputs.training.boxes, _validation_boxes(inputs))]
    ends = [f"{math.isqrt(int(end))} x {math.isqrt(int(end))}" for end in BIN_ENDS] + ["any"]
    for number, (name, end) in enumerate(zip(SIZE_NAMES, ends, strict=True)):
        cells = [text for of_file in counts for text in (str(of_file[number]), _share(of_file[number], sum(of_file)))]
        table.add_row(name, end, *cells)
    return table


def share_line(boxes: Sequence[Box], inputs: TrainingInputs, min_obj_size: float) -> str:
    """The share of boxes too small to train on, although boxes to label may be as small."""
    shares = {"training": share_up_to(boxes, min_obj_size)}
    shares["validation"] = share_up_to(_validation_boxes(inputs), min_obj_size)
    told = ", ".join(f"{share:.1%} of the {name} file" for name, share in shares.items() if share is not None)
    return f"boxes of at most dataset.min_obj_size = {min_obj_size:g} square pixels: {told}"


def length_table(spec: ExperimentSpec, size: RunSize) -> Table:
    """Numbers of steps, and learning rates."""
    train = spec.train
    factor = train.batch_size * size.world_size
    floor = (train.min_lr or train.lr * train.min_lr_rate) * factor
    return _facts(
        "steps",
        ("steps", f"{size.steps_per_epoch} an epoch, {size.steps_per_epoch * train.num_epochs} in all"),
        ("boxes in a step", f"{factor * train.accum_grad_batches}"),
        ("learning rate", f"{train.lr * factor:.4g} (lr {train.lr:g} x batch {train.batch_size} x {size.world_size})"),
        ("warm-up", f"{min(train.warmup_epochs, train.num_epochs) * size.steps_per_epoch} steps"),
        ("at the end", f"{floor:.4g}" if train.num_epochs > train.warmup_epochs else "still at its height"),
    )


def disk_table(need: DiskNeed) -> Table:
    """Disk need of the checkpoints, and free space."""
    present = f", of which {bytes_text(need.present_bytes)} are there" if need.present_bytes else ""
    return _facts(
        "disk",
        ("a checkpoint", bytes_text(need.file_bytes)),
        ("the run", f"up to {need.num_files} files, {bytes_text(need.run_bytes)}{present}"),
        ("free", f"{bytes_text(need.free_bytes)} on the disk of the results folder"),
    )


def estimate_table(
    start: StartingPoint, plan: DevicePlan, inputs: TrainingInputs, size: RunSize, trial: Trial
) -> Table:
    """Estimated time and memory of the run, from measured steps."""
    spec, workers = start.spec, start.spec.dataset.num_workers_per_gpu
    step = trial.seconds_per_step(readers=num_readers(plan, workers), batches_per_step=spec.train.accum_grad_batches)
    validation = (trial.validation_box or 0.0) * len(_validation_boxes(inputs)) / size.world_size
    steps_left = size.steps_per_epoch * spec.train.num_epochs - start.steps_done
    seconds = step * steps_left + validation * num_validations(spec.train, start.place.epoch)
    readers = f"by each of {workers} loader processes" if workers else "by the training process itself"
    limit = " (limited by the reading)" if workers and step > trial.step else ""
    memory = "of the GPU" if plan.accelerator == "gpu" else "without the loader processes"
    return _facts(
        "estimate from two real steps" + ("" if size.world_size == 1 else f" in one of {size.world_size} processes"),
        ("first step", rough_duration_text(trial.first_step)),
        ("second step", rough_duration_text(trial.step)),
        ("reading a batch", f"{rough_duration_text(trial.reading)} {readers}"),
        ("a step with reading", rough_duration_text(step) + limit),
        ("an epoch", rough_duration_text(step * size.steps_per_epoch)),
        ("a validation", rough_duration_text(validation) if inputs.validation else "none"),
        ("what is left" if start.resume_from else "the whole run", rough_duration_text(seconds)),
        ("peak memory", f"{bytes_text(trial.peak_bytes)} {memory}"),
    )


def bytes_text(count: float) -> str:
    """Format a size in MB or GB, with three digits."""
    return f"{count / 1e9:.3g} GB" if count >= 1e9 else f"{count / 1e6:.3g} MB"


def rough_duration_text(seconds: float) -> str:
    """Format a duration in seconds, minutes, hours or days, whichever fits."""
    for unit, length in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.2g} seconds" if seconds < 10 else f"{seconds:.0f} seconds"


def num_readers(plan: DevicePlan, workers: int) -> int:
    """DataLoader workers of each rank that really run in parallel."""
    cores = os.cpu_count() or 1
    return min(workers, max(1, cores * plan.num_nodes // plan.world_size)) if workers else 0


def _start(start: StartingPoint, size: RunSize) -> str:
    spec = start.spec
    if start.resume_from:
        total = size.steps_per_epoch * spec.train.num_epochs
        return (
            f"goes on in epoch {start.place.epoch + 1} of {spec.train.num_epochs}, step {start.steps_done} of {total}"
        )
    if spec.train.pretrained_model_path:
        return f"with the weights of {spec.train.pretrained_model_path}"
    return f"with the pretrained weights of {spec.model.arch}" if spec.model.pretrained else "with random weights"


def _notes_table(title: str, groups: Sequence[NoteGroup]) -> Table:
    hidden = len(groups) - REASONS_SHOWN
    table = Table(title=title + (f" ({hidden} more)" if hidden > 0 else ""), title_justify="left")
    table.add_column("how many", justify="right")
    table.add_column("what became of it")
    table.add_column("annotation")
    table.add_column("for example", overflow="fold")
    for group in groups[:REASONS_SHOWN]:
        who = "-" if group.example_id is None else show(group.example_id)
        table.add_row(str(group.count), group.action, who, group.example)
    return table


def _facts(title: str, *rows: tuple[str, str]) -> Table:
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, value)
    return table


def _numbers(title: str, first: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column(first, no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _texts(*numbers: int) -> list[str]:
    return [str(number) for number in numbers]


def _share(count: int, total: int) -> str:
    return f"{count / total:.1%}" if total else "-"


def _validation_boxes(inputs: TrainingInputs) -> Sequence[Box]:
    return inputs.validation.boxes_to_label if inputs.validation else []
