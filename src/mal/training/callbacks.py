"""What happens around the steps: the progress bar, the checkpoint files, the status file."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from mal.checkpoint.store import link_atomically
from mal.console import TaskProgress, console, task_progress
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

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        """Write a file every so many steps, if steps are counted."""
        step = trainer.global_step
        if self.unit == "step" and step and step % self.interval == 0 and not self._is_epoch_end(trainer):
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
        trainer.save_checkpoint(path)
        if trainer.is_global_zero:
            link_atomically(path, self.results_dir / LATEST_NAME)
            self.status.write(f"wrote {path.name}", {"epoch": trainer.current_epoch, "step": trainer.global_step})


class TrainingProgress(Callback):
    """Shows steps, losses, rate and time left; a line for every epoch and every validation."""

    def __init__(self, status: StatusLog) -> None:
        self.status = status
        self._exit = ExitStack()
        self._progress: TaskProgress | None = None

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

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say how the epoch ended; runs after the validation of the epoch."""
        if self._progress is None:
            return
        metrics = {name: round(float(value), 6) for name, value in trainer.callback_metrics.items()}
        metrics["boxes_per_second"] = round(self._progress.rate, 2)
        self.status.write(f"epoch {trainer.current_epoch} done", metrics)
        console.print(
            f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}: {_metrics_line(trainer.callback_metrics)}"
        )

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
