"""The initial weights of a run: random, pretrained, or from the run that it resumes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mal.checkpoint.load import Checkpoint, TrainingPosition, load_checkpoint
from mal.checkpoint.matching import load_matching, require_numbers
from mal.checkpoint.model_fields import complete_spec_from_checkpoint
from mal.config.schema import ExperimentSpec, resolve_encryption_key
from mal.console import console
from mal.errors import DamagedFile, LockedFile, UserError
from mal.models.ema import make_teacher
from mal.models.fpn_network import AnyMaskNetwork
from mal.models.from_spec import build_network
from mal.models.hub import available_weights, fetch_weights
from mal.starter.files import STARTER, starter_path
from mal.training.checkpoint_files import LATEST_NAME

FROM_THE_START = TrainingPosition(epoch=0, num_batches=0)


@dataclass(frozen=True, slots=True)
class StartingPoint:
    """Both networks before the first step.

    Attributes:
        spec: as given, with open network fields filled from the weights.
        student: loaded from ``pretrained_model_path`` if given; a resumed run loads it later.
        teacher: likewise; a copy of the student if the file has none.
        resume_from: checkpoint of the resumed run; None for a new run.
        place: position in that run.
        steps_done: optimizer steps of that run so far.
        warning: a problem with the checkpoint to report; None if there is none.
    """

    spec: ExperimentSpec
    student: AnyMaskNetwork
    teacher: AnyMaskNetwork
    resume_from: Path | None
    place: TrainingPosition
    steps_done: int
    warning: str | None = None


def resolve_initial_weights(spec: ExperimentSpec, results_dir: Path) -> StartingPoint:
    """Choose, load and report the weights that a run starts with.

    A checkpoint to resume wins over pretrained weights, and a given one over the latest in the results folder. If the
    latest is damaged, the newest good one beside it is used.

    Raises:
        UserError: a file cannot be read, no tensor fits the spec's network, values are not finite, or a file to resume
            from has weights only.
        LockedFile: a file is encrypted with another key.
        DamagedFile: a file that the spec names is damaged.
    """
    resumed = _weights_to_resume(spec, results_dir)
    resume_from = resumed.checkpoint.path if resumed else None
    pretrained = _path(spec.train.pretrained_model_path)
    if spec.model.pretrained and pretrained and not resumed:
        raise UserError("model.pretrained and train.pretrained_model_path both name weights to start from; keep one")
    if resumed:
        checkpoint: Checkpoint | None = resumed.checkpoint
    else:
        checkpoint = load_checkpoint(pretrained, resolve_encryption_key(spec)) if pretrained else None
    if checkpoint is not None:
        # A resumed run compares the whole section later; pretrained weights may fit in part.
        spec = complete_spec_from_checkpoint(
            spec, checkpoint.spec, checkpoint.path, must_agree=() if resume_from else ("arch",)
        )
    stem = spec.model.stem if spec.model.stem != "auto" else (checkpoint and checkpoint.stem) or "patch"
    student = build_network(spec, stem)
    if checkpoint is None:
        if spec.model.pretrained:
            _fill_from_released(student, spec.model.arch)
        elif stem == "patch" and (name := available_weights(spec.model.arch)):
            console.print(f"starting from random weights; model.pretrained=true would start from those of {name}")
        return StartingPoint(spec, student, make_teacher(student), None, FROM_THE_START, 0)
    if resumed:
        require_numbers(checkpoint.tensors, checkpoint.path)
        if (place := checkpoint.training.place) is None:
            raise UserError(
                f"{resume_from}: holds weights, but no state of a training run to go on with;"
                " give it as train.pretrained_model_path"
            )
        if resumed.warning:
            console.print(resumed.warning)
        console.print(f"resuming from {resume_from}")
        teacher, steps_done = make_teacher(student), checkpoint.training.global_step or 0
        return StartingPoint(spec, student, teacher, resume_from, place, steps_done, resumed.warning)
    return _filled(spec, student, checkpoint)


@dataclass(frozen=True, slots=True)
class _Resumed:
    """The checkpoint of a resumed run, and a warning about it."""

    checkpoint: Checkpoint
    warning: str | None = None


def _weights_to_resume(spec: ExperimentSpec, results_dir: Path) -> _Resumed | None:
    key = resolve_encryption_key(spec)
    given = _path(spec.train.resume_training_checkpoint_path)
    if given:
        return _Resumed(load_checkpoint(given, key))
    latest = results_dir / LATEST_NAME
    if not latest.exists():
        return None
    try:
        return _Resumed(load_checkpoint(latest, key))
    except DamagedFile as error:
        good, steps = _newest_good(latest, key, error)
        warning = f"{latest} is damaged; {good.name} (step {steps}) is the newest good checkpoint there"
        return _Resumed(load_checkpoint(good, key), warning)


def _newest_good(latest: Path, key: str | None, error: DamagedFile) -> tuple[Path, int]:
    """Find the checkpoint with most steps beside a damaged one; returns it and its steps."""
    # The latest file is often a link to a numbered one, which is then damaged too. Numbered names come first.
    others = [path for path in sorted(latest.parent.glob("[!.]*.pth"), reverse=True) if not path.samefile(latest)]
    steps = {path: count for path in others if (count := _steps_done(path, key)) is not None}
    if not steps:
        tried = ", ".join(path.name for path in others)
        raise UserError(
            f"{error}; no other checkpoint there is good{f' ({tried})' if tried else ''}: to start afresh, choose a new"
            " results_dir"
        ) from error
    return max(steps.items(), key=lambda item: item[1])


def _steps_done(path: Path, key: str | None) -> int | None:
    """Optimizer steps of a checkpoint; None if it cannot be resumed."""
    try:
        training = load_checkpoint(path, key).training
    except LockedFile:
        raise
    except UserError:
        return None
    return training.global_step if training.place else None


def _filled(spec: ExperimentSpec, student: AnyMaskNetwork, checkpoint: Checkpoint) -> StartingPoint:
    report = load_matching(student, checkpoint.student, checkpoint.path)
    teacher = make_teacher(student)
    load_matching(teacher, checkpoint.teacher, checkpoint.path)
    console.print(f"starting from {checkpoint.path}: {report}")
    return StartingPoint(spec, student, teacher, None, FROM_THE_START, 0)


def _fill_from_released(student: AnyMaskNetwork, arch: str) -> None:
    weights = fetch_weights(arch)
    report = load_matching(student, weights.tensors, Path(weights.name))
    console.print(
        f"starting from {weights.name} of {weights.source} (licence of the weights: {weights.license}): {report}"
    )


def _path(text: str | None) -> Path | None:
    if text == STARTER:
        return starter_path(trainable=True)
    return Path(text) if text else None
