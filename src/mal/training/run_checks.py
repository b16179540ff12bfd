"""What is wrong or odd about a run as a whole, said before it starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mal.config.schema import ExperimentSpec
from mal.data.box_tables import absent_categories
from mal.data.boxes import Box
from mal.data.coco import CocoFile
from mal.data.notes import RecordNote
from mal.errors import UserError
from mal.places import place

CATEGORIES_SHOWN = 5


def run_notes(spec: ExperimentSpec, coco: CocoFile, boxes: Sequence[Box], world_size: int) -> list[RecordNote]:
    """What a person should know of a run that can start.

    Args:
        spec: the whole spec.
        coco: the training file.
        boxes: what is trained on.
        world_size: processes that share a step.

    Raises:
        UserError: there are fewer boxes than processes.
    """
    if len(boxes) < world_size:
        raise UserError(
            f"{coco.path}: {len(boxes)} boxes to train on cannot be shared by {world_size} processes;"
            " set train.gpu_ids and train.num_nodes for fewer"
        )
    reasons = (
        _few_boxes(spec, len(boxes), world_size),
        _absent(absent_categories(coco, boxes), coco.path),
        _same_file(spec),
        _short_schedule(spec.train.num_epochs, spec.train.warmup_epochs),
    )
    return [RecordNote(None, None, None, "warned", reason) for reason in reasons if reason]


def _few_boxes(spec: ExperimentSpec, num_boxes: int, world_size: int) -> str | None:
    train = spec.train
    wanted = train.batch_size * train.accum_grad_batches * world_size
    if num_boxes >= wanted:
        return None
    return (
        f"{num_boxes} boxes to train on do not fill one step of {wanted}: an epoch is one short step, at a learning"
        f" rate for full batches; more boxes or a smaller train.{_too_large(spec, num_boxes, world_size)} would help"
    )


def _too_large(spec: ExperimentSpec, num_boxes: int, world_size: int) -> str:
    return "batch_size" if num_boxes < spec.train.batch_size * world_size else "accum_grad_batches"


def _absent(absent: Mapping[str, int], path: Path) -> str | None:
    if not absent:
        return None
    shown = ", ".join(f"{name} ({count} boxes)" for name, count in list(absent.items())[:CATEGORIES_SHOWN])
    more = f" and {len(absent) - CATEGORIES_SHOWN} more" if len(absent) > CATEGORIES_SHOWN else ""
    return (
        f'{path}: "categories" lacks category_id {shown}{more}: these boxes are trained on, since masks need no'
        " classes, and their classes are named by id"
    )


def _same_file(spec: ExperimentSpec) -> str | None:
    dataset = spec.dataset
    if not dataset.train_ann_path or not dataset.val_ann_path:
        return None
    if place(dataset.train_ann_path).resolve() != place(dataset.val_ann_path).resolve():
        return None
    return (
        f"dataset.train_ann_path and dataset.val_ann_path are one file ({dataset.train_ann_path}): the validation tells"
        " how well boxes are learnt that were trained on, not how well others will be"
    )


def _short_schedule(num_epochs: int, warmup_epochs: int) -> str | None:
    if num_epochs > warmup_epochs:
        return None
    return (
        f"train.num_epochs = {num_epochs} is not above train.warmup_epochs = {warmup_epochs}: the learning rate only"
        " grows, and never falls; lower warmup_epochs, or train longer"
    )
