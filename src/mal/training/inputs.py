"""The inputs of a training run, and the checks made before it starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from mal.checkpoint.encryption import require_cryptography
from mal.coco.boxes import Box, Boxes
from mal.coco.coco_file import CocoFile
from mal.coco.ground_truth import GroundTruth, explain_missing_masks
from mal.coco.notes import RecordNote
from mal.coco.statistics import absent_categories
from mal.config.schema import ExperimentSpec, resolve_encryption_key
from mal.config.sections import DatasetConfig
from mal.config.train_config import TrainConfig
from mal.console import console, tell
from mal.data.loaders import AnnotatedImages
from mal.data.targets import TargetSettings
from mal.data.train_dataset import BoxCropDataset
from mal.errors import UserError
from mal.metrics.evaluator import Evaluator
from mal.models.from_spec import graph_cut_choice, postprocess_options
from mal.paths import to_path
from mal.training.run_length import with_min_steps
from mal.training.true_masks import TrueMasks, masks_of_file, reviewed_masks, was_reviewed


@dataclass(frozen=True, slots=True)
class TrainingInputs:
    """Checked inputs of a run.

    Attributes:
        spec: as given, with epochs for ``train.min_steps``.
        source: the training file with its images.
        training: samples, one for each box.
        validation: annotations with masks; None without any.
        evaluator: compares with those masks; None without any.
        notes: records of either file that are skipped or odd.
    """

    spec: ExperimentSpec
    source: AnnotatedImages
    training: BoxCropDataset
    validation: AnnotatedImages | None
    evaluator: Evaluator | None
    notes: list[RecordNote]


def read_inputs(spec: ExperimentSpec, seed: int, world_size: int) -> TrainingInputs:
    """Read and check the annotation files of a run.

    Raises:
        UserError: a file is damaged, an image is missing, no box is left to train on, or checkpoints are to be
            encrypted and the package for it is missing.
    """
    if resolve_encryption_key(spec):
        require_cryptography()  # not after hours, when a checkpoint is due
    dataset = spec.dataset
    assert dataset.train_ann_path is not None
    assert dataset.train_img_dir is not None
    source = AnnotatedImages(dataset.train_ann_path, dataset.train_img_dir, reading=dataset.reading)
    boxes = source.boxes_to_train_on(min_obj_size=dataset.min_obj_size, max_obj_size=dataset.max_obj_size)
    read, images = len(source.coco.annotations), len(boxes.images)
    console.print(f"{len(boxes)} of {read} boxes in {images} images to train on")
    spec = _with_min_steps(spec, len(boxes), world_size)
    tell(source.turned_line)
    tell(source.dim_line)
    truth = _true_masks(spec, source, boxes)
    training = BoxCropDataset(
        boxes,
        source.img_dir,
        crop_size=dataset.crop_size,
        margin_rate=spec.train.margin_rate,
        border=dataset.border,
        seed=seed,
        targets=_target_settings(spec.train),
        true_masks=truth.by_index,
    )
    validation = _validation(spec)
    evaluator = None
    if validation:
        evaluator = Evaluator(
            validation.coco,
            validation.boxes_to_label,
            spec.train.mask_thres,
            cleaning=postprocess_options(spec),
            graph_cut=graph_cut_choice(spec.evaluate),
        )
    notes = [*source.notes, *truth.notes, *(_of_validation(note) for note in (validation.notes if validation else []))]
    return TrainingInputs(spec, source, training, validation, evaluator, notes)


_NO_TRUE_MASKS = TrueMasks({})


def _true_masks(spec: ExperimentSpec, source: AnnotatedImages, boxes: Boxes) -> TrueMasks:
    """True masks to learn from.

    Raises:
        UserError: the spec names a file of them and learns from other targets, or the file has none for these boxes.
    """
    dataset, graph_cut = spec.dataset, spec.train.target == "graph_cut"
    if dataset.masks_ann_path and not graph_cut:
        raise UserError("dataset.masks_ann_path takes train.target=graph_cut: mean_field learns from boxes alone")
    if not graph_cut:
        if was_reviewed(source.coco):
            console.print("reviewed masks are not learned from: that takes train.target=graph_cut")
        return _NO_TRUE_MASKS
    found = reviewed_masks(boxes, source.coco)
    if dataset.masks_ann_path:
        assert dataset.train_img_dir is not None
        masks = AnnotatedImages(dataset.masks_ann_path, dataset.train_img_dir, reading=dataset.reading)
        others = masks_of_file(boxes, masks)
        notes = [replace(note, reason=f"in the file of masks: {note.reason}") for note in (*masks.notes, *others.notes)]
        if not others.by_index:
            why = f", for instance: {notes[0].reason}" if notes else ""
            raise UserError(f"{masks.coco.path}: none of its masks is of a box to train on{why}")
        found = TrueMasks({**others.by_index, **found.by_index}, [*found.notes, *notes])
    if found.by_index:
        console.print(f"{len(found.by_index)} true masks to learn from")
    return found


def _with_min_steps(spec: ExperimentSpec, num_boxes: int, world_size: int) -> ExperimentSpec:
    train = with_min_steps(spec.train, num_boxes, world_size)
    if train != spec.train:
        console.print(f"{train.num_epochs} epochs in place of {spec.train.num_epochs}, for train.min_steps")
    return spec.model_copy(update={"train": train})


def _target_settings(train: TrainConfig) -> TargetSettings | None:
    if train.target == "mean_field":
        return None
    return TargetSettings(train.ellipse_epochs, train.ellipse_share)


def _of_validation(note: RecordNote) -> RecordNote:
    return replace(note, reason=f"in the validation file: {note.reason}")


def _line_of_validation(make_line: Callable[[], str | None]) -> str | None:
    return f"validation: {line}" if (line := make_line()) else None


def asks_for_validation(dataset: DatasetConfig) -> bool:
    """Whether a run has masks to compare with, as far as its spec says."""
    return bool(dataset.load_mask and dataset.val_ann_path and dataset.val_img_dir)


def _validation(spec: ExperimentSpec) -> AnnotatedImages | None:
    dataset = spec.dataset
    if not asks_for_validation(dataset):
        return None
    assert dataset.val_ann_path
    assert dataset.val_img_dir
    source = AnnotatedImages(dataset.val_ann_path, dataset.val_img_dir, reading=dataset.reading)
    truth = GroundTruth(source.coco)
    if truth.has_any(source.boxes_to_label):
        for make_line in (source.turned_line, source.dim_line):
            tell(partial(_line_of_validation, make_line))
        return source
    why = explain_missing_masks(source.coco, truth)
    console.print(f"no validation: {source.coco.path} holds no masks to compare with{why}")
    return None


CATEGORIES_SHOWN = 5


def run_notes(spec: ExperimentSpec, coco: CocoFile, boxes: Sequence[Box], world_size: int) -> list[RecordNote]:
    """Warnings about a run that can start.

    Args:
        spec: the whole spec.
        coco: the training file.
        boxes: the training boxes.
        world_size: number of ranks.

    Raises:
        UserError: there are fewer boxes than ranks.
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
    if to_path(dataset.train_ann_path).resolve() != to_path(dataset.val_ann_path).resolve():
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
