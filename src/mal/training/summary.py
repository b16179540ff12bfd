"""The summary at the end of training: duration, speed, best metric, files."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer

from mal.console import console, duration_text
from mal.data.train_dataset import TrainBatch
from mal.runtime.devices import peak_bytes_of_process
from mal.runtime.status import StatusLog
from mal.training.checkpoint_files import BEST_NAME, LATEST_NAME

GIB = 2**30
MEANS = {"val/mIoU": "over classes", "val/mIoU_instances": "over boxes"}


class TrainingSummary(Callback):
    """Measures a run and prints a summary at its end.

    Args:
        results_dir: folder of the listed files.
        status: receives the same values as one line.

    Attributes:
        seconds: duration of this start of the run, including validations.
        validation_seconds: duration of its validations.
        boxes: number of boxes that all ranks trained on in this start.
        scores: mIoU of each validation by epoch (0 for the first), including those of earlier starts.
    """

    def __init__(self, results_dir: Path, status: StatusLog) -> None:
        self.results_dir = results_dir
        self.seconds = 0.0
        self.validation_seconds = 0.0
        self.boxes = 0
        self.scores: dict[int, dict[str, float]] = {}
        self._status = status
        self._start = self._validation_start = 0.0

    def state_dict(self) -> dict[str, Any]:
        """State for the checkpoint."""
        return {"scores": self.scores}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the scores of earlier starts."""
        self.scores = dict(state_dict["scores"])

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._start = time.monotonic()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: TrainBatch, batch_idx: int
    ) -> None:
        """Count the boxes."""
        self.boxes += len(batch) * trainer.world_size

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock of the validation."""
        self._validation_start = time.monotonic()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Store its score."""
        self.validation_seconds += time.monotonic() - self._validation_start
        values = trainer.callback_metrics.items()
        self.scores[trainer.current_epoch] = {name: float(value) for name, value in values if name.startswith("val/")}

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock."""
        self.seconds = time.monotonic() - self._start

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the summary; the bar is closed by now."""
        if not trainer.is_global_zero:
            return
        device = trainer.strategy.root_device
        peak = peak_bytes(device)
        self._status.write("summary", self.figures(peak))
        for line in self.lines(peak, "on the first GPU" if device.type == "cuda" else "without loader workers"):
            console.print(f"  {line}")

    @property
    def boxes_per_second(self) -> float:
        """Rate of all ranks together, without validations."""
        return self.boxes / max(self.seconds - self.validation_seconds, 1e-9)

    @property
    def best_epoch(self) -> int | None:
        """The epoch with the best mIoU over classes, the first of equal ones; None without a validation."""
        scored = [epoch for epoch in sorted(self.scores) if "val/mIoU" in self.scores[epoch]]
        return max(scored, key=lambda epoch: self.scores[epoch]["val/mIoU"], default=None)

    def figures(self, peak: int | None) -> dict[str, Any]:
        """The summary by name, for programs; unknown values are left out.

        Args:
            peak: memory in bytes.
        """
        figures: dict[str, Any] = {
            "seconds": round(self.seconds, 1),
            "validation_seconds": round(self.validation_seconds, 1),
            "boxes_per_second": round(self.boxes_per_second, 2),
        }
        if peak is not None:
            figures["peak_memory_bytes"] = peak
        if self.best_epoch is not None:
            figures["best_epoch"] = self.best_epoch
            figures |= {f"best/{name}": value for name, value in self.scores[self.best_epoch].items()}
            figures |= {f"last/{name}": value for name, value in self.scores[max(self.scores)].items()}
        return figures | {f"file/{what.replace(' ', '_')}": str(path) for what, path in self._files().items()}

    def lines(self, peak: int | None, whose: str) -> list[str]:
        """The summary as aligned lines for the terminal.

        Args:
            peak: memory in bytes.
            whose: the memory's device, in words.
        """
        validating = f", {duration_text(self.validation_seconds)} of it in validations" if self.scores else ""
        rows = {
            "time": duration_text(self.seconds) + validating,
            "rate": f"{self.boxes_per_second:.1f} boxes/s",
        }
        if peak is not None:
            rows["peak memory"] = f"{peak / GIB:.2f} GiB {whose}"
        if self.best_epoch is not None:
            rows["best mIoU"] = self._score(self.best_epoch)
            rows["last mIoU"] = self._score(max(self.scores))
        rows |= {what: str(path) for what, path in self._files().items()}
        width = max(map(len, rows))
        return [f"{name.ljust(width)}  {text}" for name, text in rows.items()]

    def _score(self, epoch: int) -> str:
        scores = self.scores[epoch]
        values = ", ".join(f"{scores[name]:.4f} {of}" for name, of in MEANS.items() if name in scores)
        return f"{values} (epoch {epoch + 1})"

    def _files(self) -> dict[str, Path]:
        """Existing result files and their paths."""
        names = {
            "best model": BEST_NAME,
            "last model": LATEST_NAME,
            "curves": "tensorboard",
            "log": self._status.path.name,
        }
        paths = {what: self.results_dir / name for what, name in names.items()}
        return {what: path for what, path in paths.items() if path.exists()}


def peak_bytes(device: torch.device) -> int | None:
    """Peak memory: torch's on a GPU, otherwise this process's RAM; None on Windows."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "win32":
        return None
    return peak_bytes_of_process()
