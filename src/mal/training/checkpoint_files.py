"""When training writes its checkpoint files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer

from mal.checkpoint.store import link_atomically
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
