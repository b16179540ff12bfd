"""Progress of training: the bar, a line for every epoch, the status file."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from mal.coco.ground_truth import GroundTruth, reasons
from mal.console import TaskProgress, console, task_progress
from mal.data.label_dataset import CropBatch
from mal.data.train_dataset import TrainBatch
from mal.runtime.lightning_internals import batches_done_in_epoch
from mal.runtime.status import StatusLog
from mal.training.callbacks import train_figures
from mal.training.time_limit import TimeLimit

SECONDS_BETWEEN_FIGURES = 0.5  # reading one synchronizes with the GPU


class TrainingProgress(Callback):
    """Shows steps, losses, rate and time left; prints a line for every epoch and every validation.

    Args:
        status: receives the same as JSON lines.
        truth: true masks of validations; None without any.
        limit: may end training before its last epoch.
    """

    def __init__(self, status: StatusLog, truth: GroundTruth | None = None, limit: TimeLimit | None = None) -> None:
        self.status = status
        self._truth = truth
        self._limit = limit
        self._exit = ExitStack()
        self._progress: TaskProgress | None = None
        self._figures: Mapping[str, float | Tensor] = {}
        self._shown = ""
        self._shown_at = 0.0
        self._epoch_start = 0.0
        self._has_validated = False
        self._failures: list[tuple[int, str]] = []
        self._failed: set[int] = set()

    def state_dict(self) -> dict[str, Any]:
        """State for the checkpoint: the metrics of the last step, for a run resumed at a validation."""
        return {"figures": {name: float(value) for name, value in self._figures.items()}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the metrics of the last step."""
        self._figures = state_dict["figures"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the bar at the position where the run resumes."""
        self._epoch_start = time.monotonic()
        if not trainer.is_global_zero or trainer.max_epochs is None:
            return
        total = _boxes_per_epoch(trainer) * trainer.max_epochs
        progress = self._exit.enter_context(task_progress("training", total))
        progress.resume_at(boxes_done(trainer))
        self._progress = progress

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock of the epoch."""
        self._epoch_start = time.monotonic()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: TrainBatch, batch_idx: int
    ) -> None:
        """Move the bar."""
        self._figures = train_figures(trainer)
        if self._progress is None:
            return
        if time.monotonic() - self._shown_at >= SECONDS_BETWEEN_FIGURES:
            self._shown = f"{_epoch(trainer)}  step {trainer.global_step}  {_figures_text(self._figures)}"
            self._shown_at = time.monotonic()
        self._progress.most_seconds_left = self._limit.seconds_left if self._limit else None
        self._progress.advance(len(batch) * trainer.world_size, self._shown)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Pause the clock of the rate."""
        if self._progress is not None:
            self._progress.pause(f"{_epoch(trainer)}  validating")

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: CropBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Store each box that could not be validated."""
        self._failures += [
            (box.position, f"annotation {box.annotation_id}: {reason}") for box, reason in batch.failures
        ]

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report the boxes that any rank could not validate, once in a run."""
        notes = self._truth.notes if self._truth else {}
        parts = [(self._failures, notes)]
        if trainer.world_size > 1:
            parts = [([], {}) for _ in range(trainer.world_size)]
            torch.distributed.all_gather_object(parts, (self._failures, notes))
        for position, text in sorted(failure for failures, _ in parts for failure in failures):
            if position not in self._failed:
                self._failed.add(position)
                self._warn_not_validated(text)
        new = {place: note for _, notes in parts for place, note in notes.items() if place not in self._failed}
        self._failed |= set(new)
        for reason in reasons(new.values()):
            self._warn_not_validated(reason)
        self._failures = []

    def _warn_not_validated(self, text: str) -> None:
        self.status.write(f"not validated on: {text}", level="warning")
        console.print(f"  not validated on: {text}")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Mark the metrics of this epoch as new, and estimate the time of future validations."""
        self._has_validated = True
        if self._progress is not None:
            self._progress.seconds_ahead = self._progress.unpause(self._shown) * _validations_ahead(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the results of the epoch; runs after its validation."""
        if self._progress is None:
            return
        figures = {name: float(value) for name, value in self._figures.items()}
        if self._has_validated:  # the trainer keeps the metrics of the last validation
            figures |= {name: float(value) for name, value in trainer.callback_metrics.items() if _is_of_val(name)}
        self._has_validated = False
        metrics = {name: round(value, 9) for name, value in figures.items()}
        metrics["boxes_per_second"] = round(self._progress.rate, 2)
        metrics["seconds"] = round(time.monotonic() - self._epoch_start, 1)
        self.status.write(f"epoch {trainer.current_epoch} done", metrics)
        console.print(f"{_epoch(trainer)}: {_figures_text(figures)}")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the bar."""
        self._exit.close()
        self._progress = None

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Close the bar after an error."""
        self._exit.close()


def boxes_done(trainer: Trainer) -> int:
    """Boxes that all ranks have trained on at the start of a run, including those of an earlier run."""
    loader = trainer.train_dataloader
    assert loader is not None
    done = trainer.current_epoch * _boxes_per_epoch(trainer)
    batches = batches_done_in_epoch(trainer)
    return done + min(batches * loader.batch_size, len(loader.sampler)) * trainer.world_size


def _boxes_per_epoch(trainer: Trainer) -> int:
    loader = trainer.train_dataloader
    assert loader is not None
    return len(loader.sampler) * trainer.world_size


def _validations_ahead(trainer: Trainer) -> int:
    """Number of validations after the current epoch's, including the one after the last epoch."""
    assert trainer.max_epochs is not None
    interval = trainer.check_val_every_n_epoch or 1
    return math.ceil(trainer.max_epochs / interval) - math.ceil((trainer.current_epoch + 1) / interval)


def _is_of_val(name: str) -> bool:
    return name.startswith("val/")


def _epoch(trainer: Trainer) -> str:
    return f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"


def _figures_text(figures: Mapping[str, float | Tensor]) -> str:
    return "  ".join(f"{name.removeprefix('train/')} {float(value):.3g}" for name, value in figures.items())
