"""What a run reads: the boxes to train on, and the masks to validate with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from mal.config.schema import ExperimentSpec
from mal.console import console, tell
from mal.data.datamodule import AnnotatedImages
from mal.data.ground_truth import GroundTruth, why_none
from mal.data.notes import RecordNote
from mal.data.train_boxes import TrainBoxes
from mal.metrics.evaluator import Evaluator
from mal.models.build import mask_cleaning


@dataclass(frozen=True, slots=True)
class TrainingInputs:
    """Checked inputs of a run.

    Attributes:
        source: the training file with its images.
        training: samples, one a box.
        validation: annotations with masks; None when there are none.
        evaluator: compares with those masks; None when there are none.
        notes: records of either file that were left out or are odd.
    """

    source: AnnotatedImages
    training: TrainBoxes
    validation: AnnotatedImages | None
    evaluator: Evaluator | None
    notes: list[RecordNote]


def read_inputs(spec: ExperimentSpec, seed: int) -> TrainingInputs:
    """Read and check the annotation files of a run.

    Raises:
        UserError: a file is damaged, an image is missing, or no box is left to train on.
    """
    dataset = spec.dataset
    assert dataset.train_ann_path is not None
    assert dataset.train_img_dir is not None
    source = AnnotatedImages(dataset.train_ann_path, dataset.train_img_dir, reading=dataset.reading)
    boxes = source.boxes_to_train_on(min_obj_size=dataset.min_obj_size, max_obj_size=dataset.max_obj_size)
    read, images = len(source.coco.annotations), len(boxes.images)
    console.print(f"{len(boxes)} of {read} boxes in {images} images to train on")
    tell(source.turned_line)
    tell(source.dim_line)
    training = TrainBoxes(
        boxes,
        source.img_dir,
        crop_size=dataset.crop_size,
        margin_rate=spec.train.margin_rate,
        border=dataset.border,
        seed=seed,
    )
    validation = _validation(spec)
    evaluator = None
    if validation:
        evaluator = Evaluator(
            validation.coco, validation.boxes_to_label, spec.train.mask_thres, cleaning=mask_cleaning(spec)
        )
    notes = [*source.notes, *(_of_validation(note) for note in (validation.notes if validation else []))]
    return TrainingInputs(source, training, validation, evaluator, notes)


def _of_validation(note: RecordNote) -> RecordNote:
    return replace(note, reason=f"in the validation file: {note.reason}")


def _line_of_validation(make_line: Callable[[], str | None]) -> str | None:
    return f"validation: {line}" if (line := make_line()) else None


def _validation(spec: ExperimentSpec) -> AnnotatedImages | None:
    dataset = spec.dataset
    if not (dataset.load_mask and dataset.val_ann_path and dataset.val_img_dir):
        console.print("no validation: it takes dataset.val_ann_path, val_img_dir and load_mask=true")
        return None
    source = AnnotatedImages(dataset.val_ann_path, dataset.val_img_dir, reading=dataset.reading)
    truth = GroundTruth(source.coco)
    if truth.has_any(source.boxes_to_label):
        for make_line in (source.turned_line, source.dim_line):
            tell(partial(_line_of_validation, make_line))
        return source
    why = why_none(source.coco, truth)
    console.print(f"no validation: {source.coco.path} holds no masks to compare with{why}")
    return None
