"""Write checkpoint files during training: which, when, and which of them are kept."""

from __future__ import annotations

import time
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.fabric.plugins import CheckpointIO

from mal.checkpoint.store import link_atomically, read_tensors, write_checkpoint
from mal.runtime.lightning_internals import is_accumulating, is_last_batch, restart_validation_on_resume
from mal.runtime.status import StatusLog
from mal.training.module import MalModule
from mal.training.stop_signals import StopSignals
from mal.training.time_limit import TimeIsUp, TimeLimit


class AtomicCheckpointIO(CheckpointIO):
    """Writes checkpoints atomically, and reads them without executing code.

    Args:
        encryption_key: encrypts written files; encrypted and unencrypted files are read.
    """

    def __init__(self, encryption_key: str | None = None) -> None:
        self._encryption_key = encryption_key

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """See `write_checkpoint`."""
        write_checkpoint(checkpoint, Path(path), self._encryption_key)

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint, always as plain data."""
        return read_tensors(Path(path), self._encryption_key)

    def remove_checkpoint(self, path: str | Path) -> None:
        """Delete a checkpoint."""
        Path(path).unlink(missing_ok=True)


LATEST_NAME = "mal_model_latest.pth"
BEST_NAME = "model_best.pth"

_NOTHING, _SAVE, _TIME_IS_UP, _STOP = range(4)


@dataclass(frozen=True, slots=True)
class KeepingRules:
    """Rules for writing and keeping numbered files.

    Attributes:
        interval: epochs or steps between files; the end of training always writes one.
        unit: unit of ``interval``.
        last_n: number of newest files to keep; 0 keeps all.
        best: number of files to keep for their validation mIoU, due or not.
    """

    interval: int
    unit: Literal["epoch", "step"]
    last_n: int = 0
    best: int = 1


@dataclass(frozen=True, slots=True)
class NumberedFile:
    """A numbered file that a run has written and kept.

    Attributes:
        name: file name in the results folder.
        is_due: True if the interval asked for it, False if it was written for its score.
        miou: mIoU of the validation before it; None without one.
    """

    name: str
    is_due: bool
    miou: float | None


class CheckpointFiles(Callback):
    """Writes ``model_epoch_NNN.pth`` (or ``model_step_NNNNNN.pth``), and two more files:

    ``mal_model_latest.pth`` is the newest state, also from within an epoch: written at a time interval, before a
    validation, and when a signal asks the run to stop. ``model_best.pth`` is the file with the best validation mIoU.

    Args:
        results_dir: folder of the files.
        rules: which numbered files to write and keep.
        minutes: longest time without a saved state; 0 disables saving by time.
        signals: says when to stop.
        limit: says when the time of training is spent.
        status: log of written files.

    Attributes:
        files: kept numbered files, the oldest first.
        newest: the file with the newest state; None before the first.
    """

    def __init__(
        self,
        results_dir: Path,
        rules: KeepingRules,
        *,
        minutes: float,
        signals: StopSignals,
        limit: TimeLimit,
        status: StatusLog,
    ) -> None:
        self.results_dir = results_dir
        self.rules = rules
        self.files: list[NumberedFile] = []
        self.newest: Path | None = None
        self._seconds = minutes * 60
        self._signals = signals
        self._limit = limit
        self._status = status
        self._saved_at = time.monotonic()
        self._saved_step = 0
        self._miou: float | None = None

    @property
    def best(self) -> NumberedFile | None:
        """The file with the best validation mIoU; None without a validation."""
        return self._by_score()[0] if self._by_score() else None

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"files": [list(astuple(file)) for file in self.files]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the list of the run's files."""
        self.files = [NumberedFile(*values) for values in state_dict["files"]]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count from the resumed state, which has its file; drop files that do not exist here."""
        found = [file for file in self.files if (self.results_dir / file.name).exists()]
        self.files = trainer.strategy.broadcast(found)
        self._saved_step = trainer.global_step
        self._saved_at = time.monotonic()
        if trainer.ckpt_path is not None:
            self.newest = Path(trainer.ckpt_path)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        """Save between two steps if the step interval or the time is up, or a signal has come."""
        if is_last_batch(trainer) or is_accumulating(trainer):
            return  # the end of the epoch saves by itself; a state within a step cannot be resumed
        step = trainer.global_step
        if self.rules.unit == "step" and step % self.rules.interval == 0:
            self._save_numbered(trainer, NumberedFile(f"model_step_{step:06d}.pth", is_due=True, miou=None))
        wanted = self._agreed(trainer)
        if wanted >= _SAVE and step > self._saved_step:
            self._save_latest(trainer)
        self._end(trainer, wanted)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save before the validation, so that a stop during it loses no training."""
        self._save_latest(trainer)

    def on_validation_batch_end(self, trainer: Trainer, *args: Any) -> None:
        """Stop within a validation on a signal; a resumed run restarts the validation."""
        if self._signals.received is not None:
            self._signals.stop(trainer, self._place(trainer))

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Store the score of this epoch."""
        assert isinstance(pl_module, MalModule)
        self._miou = pl_module.last_scores.get("val/mIoU")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write a file at the epoch interval, after the last epoch, and for a score among the best."""
        epoch = trainer.current_epoch
        done = trainer.global_step if self.rules.unit == "step" else epoch + 1
        is_due = done % self.rules.interval == 0 or epoch + 1 == trainer.max_epochs
        file = NumberedFile(f"model_epoch_{epoch:03d}.pth", is_due, self._miou)
        self._miou = None
        if is_due or self._is_among_the_best(file):
            self._save_numbered(trainer, file)
        wanted = self._agreed(trainer)
        if wanted >= _SAVE and trainer.global_step > self._saved_step:
            self._save_latest(trainer)
        if epoch + 1 < (trainer.max_epochs or 0):
            self._end(trainer, wanted)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Change a state from within a validation so that a resumed run restarts this validation."""
        if trainer.validating:
            restart_validation_on_resume(checkpoint)

    def _agreed(self, trainer: Trainer) -> int:
        is_late = self._seconds > 0 and time.monotonic() - self._saved_at >= self._seconds
        wanted = _SAVE if is_late else _NOTHING
        if self._limit.is_up:
            wanted = _TIME_IS_UP
        if self._signals.received is not None:
            wanted = _STOP
        if trainer.world_size == 1:
            return wanted
        all_wanted = torch.tensor(wanted, device=trainer.strategy.root_device)
        return int(trainer.strategy.reduce(all_wanted, reduce_op="max"))

    def _end(self, trainer: Trainer, wanted: int) -> None:
        """End the run once its state is saved, if all processes agree on that."""
        if wanted == _STOP:
            self._signals.stop(trainer, self._place(trainer))
        if wanted == _TIME_IS_UP:
            raise TimeIsUp(self._place(trainer))

    def _save_latest(self, trainer: Trainer) -> None:
        self._save(trainer, LATEST_NAME)

    def _save_numbered(self, trainer: Trainer, file: NumberedFile) -> None:
        self.files = [*(each for each in self.files if each.name != file.name), file]
        self._save(trainer, file.name)
        dropped = self._drop_files()
        if not trainer.is_global_zero:
            return
        path = self.results_dir / file.name
        link_atomically(path, self.results_dir / LATEST_NAME)
        if self.best == file:
            link_atomically(path, self.results_dir / BEST_NAME)
        for each in dropped:
            (self.results_dir / each.name).unlink(missing_ok=True)
        self._status.write(f"wrote {file.name}", {"epoch": trainer.current_epoch, "step": trainer.global_step})

    def _save(self, trainer: Trainer, name: str) -> None:
        path = self.results_dir / name
        for logger in trainer.loggers:
            logger.save()  # a run resumed from this file does not log these points again
        trainer.save_checkpoint(path)
        self.newest = path
        self._saved_step = trainer.global_step
        self._saved_at = time.monotonic()

    def _drop_files(self) -> list[NumberedFile]:
        due = [file for file in self.files if file.is_due]
        kept = {*due[-self.rules.last_n :], *self._by_score()[: self.rules.best]}
        dropped = [file for file in self.files if file not in kept]
        self.files = [file for file in self.files if file in kept]
        return dropped

    def _is_among_the_best(self, file: NumberedFile) -> bool:
        better = [each for each in self._by_score() if (each.miou or 0.0) >= (file.miou or 0.0)]
        return file.miou is not None and len(better) < self.rules.best

    def _by_score(self) -> list[NumberedFile]:
        """Validated files, the best first; of equal scores the older first."""
        scored = [file for file in self.files if file.miou is not None]
        return sorted(scored, key=lambda file: -(file.miou or 0.0))

    def _place(self, trainer: Trainer) -> str:
        return f"step {trainer.global_step} is saved in {self.results_dir / LATEST_NAME}"
