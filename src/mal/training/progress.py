"""What a person sees of the steps: the bar, a line for every epoch, the status file."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from mal.console import TaskProgress, console, task_progress
from mal.data.crop_stream import CropBatch
from mal.data.train_boxes import TrainBatch
from mal.training.status import StatusLog


class TrainingProgress(Callback):
    """Shows steps, losses, rate and time left; a line for every epoch and every validation."""

    def __init__(self, status: StatusLog) -> None:
        self.status = status
        self._exit = ExitStack()
        self._progress: TaskProgress | None = None
        self._has_validated = False
        self._failed: set[int] = set()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the bar at the place where the run resumes."""
        if not trainer.is_global_zero or trainer.max_epochs is None:
            return
        epoch_boxes = self._boxes_per_epoch(trainer)
        progress = self._exit.enter_context(task_progress("training", epoch_boxes * trainer.max_epochs))
        progress.resume_at(trainer.current_epoch * epoch_boxes)
        self._progress = progress

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: TrainBatch, batch_idx: int
    ) -> None:
        """Move the bar."""
        if self._progress is not None:
            self._progress.advance(len(batch) * trainer.world_size, self._details(trainer))

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: CropBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Name each box that could not be validated on, once in a run."""
        for box, reason in batch.failures:
            if box.position not in self._failed:
                self._failed.add(box.position)
                line = f"not validated on: annotation {box.annotation_id}: {reason}"
                self.status.write(line, level="warning")
                console.print(f"  {line}", markup=False)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note that the figures of this epoch are new."""
        self._has_validated = True

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say how the epoch ended; runs after the validation of the epoch."""
        if self._progress is None:
            return
        values = trainer.callback_metrics
        if not self._has_validated:  # the trainer keeps the figures of the last validation
            values = {name: value for name, value in values.items() if not name.startswith("val/")}
        self._has_validated = False
        metrics = {name: round(float(value), 6) for name, value in values.items()}
        metrics["boxes_per_second"] = round(self._progress.rate, 2)
        self.status.write(f"epoch {trainer.current_epoch} done", metrics)
        console.print(f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}: {_metrics_line(values)}")

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Close the bar, also after an error."""
        self._exit.close()
        self._progress = None

    def _boxes_per_epoch(self, trainer: Trainer) -> int:
        loader = trainer.train_dataloader
        assert loader is not None
        return len(loader.sampler) * trainer.world_size

    def _details(self, trainer: Trainer) -> str:
        values = trainer.callback_metrics
        return f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}  step {trainer.global_step}  " + _metrics_line(
            {name: value for name, value in values.items() if name.startswith("train/")}
        )


def _metrics_line(metrics: dict[str, Tensor]) -> str:
    return "  ".join(f"{name.removeprefix('train/')} {float(value):.3g}" for name, value in sorted(metrics.items()))
