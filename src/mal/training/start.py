"""Where a run starts: from random weights, from given ones, or where an earlier run stopped."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mal.checkpoint.fitting import fitted_spec
from mal.checkpoint.matching import load_matching
from mal.checkpoint.weights import TrainingPlace, Weights, read_weights
from mal.config.schema import ExperimentSpec
from mal.console import console
from mal.errors import UserError
from mal.models.build import build_network
from mal.models.ema import make_teacher
from mal.models.hub import fetch_hub_weights
from mal.models.network import MaskNetwork
from mal.training.checkpoint_files import LATEST_NAME

FROM_THE_START = TrainingPlace(epoch=0, num_batches=0)


@dataclass(frozen=True, slots=True)
class StartingPoint:
    """Both networks before the first step.

    Attributes:
        spec: as given, and with the network of the weights where it leaves that open.
        student: filled from ``pretrained_model_path`` if given; a run that resumes fills it later.
        teacher: likewise; a copy of the student where the file has none.
        resume_from: checkpoint of the run that goes on; None for a new run.
        place: where in that run.
        steps_done: optimiser steps of that run so far.
    """

    spec: ExperimentSpec
    student: MaskNetwork
    teacher: MaskNetwork
    resume_from: Path | None
    place: TrainingPlace
    steps_done: int


def starting_point(spec: ExperimentSpec, results_dir: Path) -> StartingPoint:
    """Choose and read the weights that a run starts with, and say which they are.

    A checkpoint to resume goes before pretrained weights; the given one before the latest in the results folder.

    Raises:
        UserError: a file cannot be read, fits the spec's network in no tensor, or is to be resumed from and has
            weights only.
    """
    resume_from = _checkpoint_to_resume(spec, results_dir)
    path = resume_from or _path(spec.train.pretrained_model_path)
    if spec.model.pretrained and path and not resume_from:
        raise UserError("model.pretrained and train.pretrained_model_path both name weights to start from; keep one")
    weights = read_weights(path) if path else None
    if weights is not None:
        # A run that resumes compares the whole section itself, later; pretrained weights may fit in part.
        spec = fitted_spec(spec, weights, must_agree=() if resume_from else ("arch",))
    stem = spec.model.stem if spec.model.stem != "auto" else (weights and weights.stem) or "patch"
    student = build_network(spec, stem)
    if weights is None:
        if spec.model.pretrained:
            _fill_from_hub(student, spec.model.arch)
        return StartingPoint(spec, student, make_teacher(student), None, FROM_THE_START, 0)
    if resume_from:
        if weights.place is None:
            raise UserError(
                f"{path}: holds weights, but no state of a training run to go on with;"
                " give it as train.pretrained_model_path"
            )
        console.print(f"resuming from {resume_from}")
        return StartingPoint(spec, student, make_teacher(student), resume_from, weights.place, weights.global_step or 0)
    return _filled(spec, student, weights)


def _checkpoint_to_resume(spec: ExperimentSpec, results_dir: Path) -> Path | None:
    latest = results_dir / LATEST_NAME
    return _path(spec.train.resume_training_checkpoint_path) or (latest if latest.exists() else None)


def _filled(spec: ExperimentSpec, student: MaskNetwork, weights: Weights) -> StartingPoint:
    report = load_matching(student, weights.network("student"), weights.path)
    teacher = make_teacher(student)
    load_matching(teacher, weights.network("teacher"), weights.path)
    console.print(f"starting from {weights.path}: {report}")
    return StartingPoint(spec, student, teacher, None, FROM_THE_START, 0)


def _fill_from_hub(student: MaskNetwork, arch: str) -> None:
    hub = fetch_hub_weights(arch)
    report = load_matching(student, hub.tensors, Path(hub.name))
    console.print(f"starting from {hub.name} of the timm hub (licence of the weights: {hub.licence}): {report}")


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None
