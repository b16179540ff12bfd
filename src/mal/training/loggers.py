"""Loggers of training: TensorBoard event files, Weights & Biases, MLflow."""

from __future__ import annotations

import importlib.util
import netrc
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import numpy as np
import numpy.typing as npt
from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.compat.proto.event_pb2 import SessionLog

from mal.config.schema import ExperimentSpec
from mal.console import console
from mal.errors import UserError
from mal.files import cannot_write, disk_error
from mal.runtime.lightning_internals import is_event_writer


class EventFiles(TensorBoardLogger):
    """TensorBoard logger that raises a UserError once if its files cannot be written; later calls do nothing."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._is_broken = False
        self._outer_hook = threading.excepthook
        self._hook = self._pass_over_writers
        threading.excepthook = self._hook

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The event file writer, created on first use."""
        with self._explain_disk_errors():
            return super().experiment

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Write scalars by name."""
        if not self._is_broken and self.experiment:
            with self._explain_disk_errors():
                super().log_metrics(metrics, step)

    @rank_zero_only
    def add_picture(self, tag: str, picture: npt.NDArray[np.uint8], step: int) -> None:
        """Write an image, (H, W, 3) uint8."""
        if not self._is_broken and self.experiment:
            with self._explain_disk_errors():
                self.experiment.add_image(tag, picture, step, dataformats="HWC")
                self.save()

    @rank_zero_only
    def save(self) -> None:
        """Flush the files to disk."""
        if not self._is_broken:
            with self._explain_disk_errors():
                super().save()

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Close the files; a failed run reports its own error."""
        if threading.excepthook is self._hook:
            threading.excepthook = self._outer_hook
        self._is_broken = self._is_broken or status != "success"
        with self._explain_disk_errors():
            super().finalize(status)

    @contextmanager
    def _explain_disk_errors(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:  # the base class turns every error into a ValueError
            cause = disk_error(error)
            if cause is None:
                raise
            if not self._is_broken:
                self._is_broken = True
                raise cannot_write(Path(self.log_dir), cause) from error

    def _pass_over_writers(self, failure: threading.ExceptHookArgs) -> None:
        """Silence the writer thread's traceback: the run reports its error, and Python would print it again."""
        if not is_event_writer(failure.thread):
            self._outer_hook(failure)


class TensorBoardLog(EventFiles):
    """Writes to ``<results_dir>/tensorboard``.

    Points that an earlier run logged after the resumed step are hidden. Points at that step stay and are not logged
    again, for example after an interrupted validation.

    Args:
        results_dir: results folder of the training.
        steps_done: optimizer steps of the earlier run; 0 for a new one.
    """

    def __init__(self, results_dir: Path, steps_done: int) -> None:
        super().__init__(results_dir, name="tensorboard", version="", purge_step=steps_done)
        self._last_step = steps_done - 1

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Write scalars by name at a step (0 is the first)."""
        super().log_metrics({tag: value for tag, value in metrics.items() if not self._is_there(tag, step)}, step)

    @rank_zero_only
    def log_picture(self, tag: str, picture: npt.NDArray[np.uint8], step: int) -> None:
        """Write an image, (H, W, 3) uint8, at a step."""
        if not self._is_there(tag, step):
            self.add_picture(tag, picture, step)

    def _is_there(self, tag: str, step: int | None) -> bool:
        return step == self._last_step and tag in self._earlier_tags

    @cached_property
    def _earlier_tags(self) -> set[str]:
        return tags_at(Path(self.log_dir), self._last_step)


def tags_at(folder: Path, step: int) -> set[str]:
    """Tags in the event files of a folder at a step, without those that a later run has hidden."""
    tags: set[str] = set()
    for path in sorted(folder.glob("events.out.tfevents.*")):
        for event in EventFileLoader(str(path)).Load():
            if event.session_log.status == SessionLog.START and event.step <= step:
                tags.clear()
            elif event.step == step:
                tags.update(value.tag for value in event.summary.value)
    return tags


_WANDB_HOST = "https://api.wandb.ai"


def run_loggers(spec: ExperimentSpec, results_dir: Path, *, steps_done: int = 0) -> list[Logger]:
    """Create the loggers: TensorBoard files in ``<results_dir>/tensorboard``, and the spec's trackers.

    Args:
        spec: sections ``wandb`` (used if the user is logged in) and ``mlflow``.
        results_dir: results folder of the training.
        steps_done: optimizer steps of the resumed run; see :class:`TensorBoardLog`.

    Raises:
        UserError: MLflow is enabled and not installed, or its server refuses the run.
    """
    loggers: list[Logger] = [TensorBoardLog(results_dir, steps_done)]
    if spec.wandb.enable and importlib.util.find_spec("wandb") and _wandb_login():
        loggers.append(_wandb_logger(spec, results_dir))
        console.print(f"Weights & Biases: logging to project {spec.wandb.project} (wandb.enable=false turns it off)")
    if spec.mlflow.enable:
        loggers.append(_mlflow_logger(spec))
        console.print(f"MLflow: logging to experiment {spec.mlflow.experiment_name}")
    return loggers


def _wandb_logger(spec: ExperimentSpec, results_dir: Path) -> Logger:
    from lightning.pytorch.loggers import WandbLogger

    return WandbLogger(
        project=spec.wandb.project,
        entity=spec.wandb.entity or None,
        tags=spec.wandb.tags,
        name=spec.wandb.name,
        reinit=spec.wandb.reinit,
        sync_tensorboard=spec.wandb.sync_tensorboard,
        save_code=spec.wandb.save_code,
        save_dir=results_dir,
        # It would store the command line, and with it `encryption_key=...`.
        settings={"x_disable_meta": True} if spec.encryption_key else None,
    )


def _mlflow_logger(spec: ExperimentSpec) -> Logger:
    if importlib.util.find_spec("mlflow") is None:
        raise UserError("mlflow.enable: MLflow is not installed; pip install 'mask-auto-labeler[mlflow]'")
    from mal.training.mlflow_log import mlflow_log

    return mlflow_log(spec.mlflow)


def _wandb_login() -> bool:
    """Whether the wandb client has a key; a prompt would block a batch job."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL", _WANDB_HOST)).hostname or ""
    try:
        return netrc.netrc().authenticators(host) is not None
    except (FileNotFoundError, netrc.NetrcParseError):
        return False
