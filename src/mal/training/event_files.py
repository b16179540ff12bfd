"""TensorBoard's event files on a disk that may be full."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from mal.files import cannot_write, disk_error

_WRITERS_THREAD = "_AsyncWriterThread"


class EventFiles(TensorBoardLogger):
    """TensorBoard's logger, but files that cannot be written are a UserError, raised once; later calls do nothing."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._is_broken = False
        self._outer_hook = threading.excepthook
        self._hook = self._pass_over_writers
        threading.excepthook = self._hook

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The writer of the files; made when it is first asked for."""
        with self._telling_of_the_disk():
            return super().experiment

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Write scalars by name."""
        if not self._is_broken and self.experiment:
            with self._telling_of_the_disk():
                super().log_metrics(metrics, step)

    @rank_zero_only
    def add_picture(self, tag: str, picture: npt.NDArray[np.uint8], step: int) -> None:
        """Write a picture, (H, W, 3) uint8."""
        if not self._is_broken and self.experiment:
            with self._telling_of_the_disk():
                self.experiment.add_image(tag, picture, step, dataformats="HWC")
                self.save()

    @rank_zero_only
    def save(self) -> None:
        """Bring what was logged to the disk."""
        if not self._is_broken:
            with self._telling_of_the_disk():
                super().save()

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Close the files; a run that failed has an error of its own to tell."""
        if threading.excepthook is self._hook:
            threading.excepthook = self._outer_hook
        self._is_broken = self._is_broken or status != "success"
        with self._telling_of_the_disk():
            super().finalize(status)

    @contextmanager
    def _telling_of_the_disk(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:  # the base class makes a ValueError of all that it meets
            cause = disk_error(error)
            if cause is None:
                raise
            if not self._is_broken:
                self._is_broken = True
                raise cannot_write(Path(self.log_dir), cause) from error

    def _pass_over_writers(self, failure: threading.ExceptHookArgs) -> None:
        """The thread that writes hands its error on to the run, which tells it; Python would print it as well."""
        if type(failure.thread).__name__ != _WRITERS_THREAD:
            self._outer_hook(failure)
