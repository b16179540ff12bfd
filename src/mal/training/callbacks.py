"""What happens around the steps: the progress bar, the checkpoint files, the status file."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from mal.checkpoint.store import link_atomically
from mal.console import TaskProgress, console, task_progress
from mal.data.crop_stream import CropBatch
from mal.data.train_boxes import TrainBatch
from mal.training.status import StatusLog

LATEST_NAME = "mal_model_latest.pth"


class CheckpointFiles(Callback):
    """Writes ``model_epoch_NNN.pth`` (or ``model_step_NNNNNN.pth``) and keeps ``mal_model_latest.pth`` at the newest.

    Args:
        results_dir: folder of the files.
        interval: epochs or steps between files; the end of training writes one in any case.
        unit: ``epoch`` or ``step``.
        status: where each file is announced.
    """

    def __init__(self, results_dir: Path, interval: int, unit: str, status: StatusLog) -> None:
        self.results_dir = results_dir
        self.interval = interval
        self.unit = unit
        self.status = status
        self._saved_step = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count from the step where the run resumes, which has its file."""
        self._saved_step = trainer.global_step

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        """Write a file every so many steps, if steps are counted."""
        step = trainer.global_step
        is_new = step > self._saved_step  # a step may take several batches
        if self.unit == "step" and is_new and step % self.interval == 0 and not self._is_epoch_end(trainer):
            self._save(trainer, f"model_step_{step:06d}.pth")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write a file every so many epochs and after the last one."""
        epoch = trainer.current_epoch
        is_last = epoch + 1 == trainer.max_epochs
        is_due = trainer.global_step % self.interval == 0 if self.unit == "step" else (epoch + 1) % self.interval == 0
        if is_last or is_due:
            self._save(trainer, f"model_epoch_{epoch:03d}.pth")

    def _is_epoch_end(self, trainer: Trainer) -> bool:
        return trainer.fit_loop.epoch_loop.batch_progress.is_last_batch

    def _save(self, trainer: Trainer, name: str) -> None:
        path = self.results_dir / name
        self._saved_step = trainer.global_step
        trainer.save_checkpoint(path)
        if trainer.is_global_zero:
            link_atomically(path, self.results_dir / LATEST_NAME)
            self.status.write(f"wrote {path.name}", {"epoch": trainer.current_epoch, "step": trainer.global_step})


class LastEpochValidation(Callback):
    """Lets the last epoch end with a validation, whatever the interval."""

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Set the interval to one when the last epoch begins."""
        if trainer.current_epoch + 1 == trainer.max_epochs:
            trainer.check_val_every_n_epoch = 1


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
