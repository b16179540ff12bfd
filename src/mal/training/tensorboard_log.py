"""Event files for TensorBoard that tell of one run, however often it was stopped."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
from lightning.pytorch.utilities import rank_zero_only
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.compat.proto.event_pb2 import SessionLog

from mal.training.event_files import EventFiles


class TensorBoardLog(EventFiles):
    """Writes to ``<results_dir>/tensorboard``.

    What an earlier run logged after the step that this one goes on from is hidden. What it logged at that step stays,
    and is not logged again where this run comes to it a second time, as to a validation that was broken off.

    Args:
        results_dir: of the training.
        steps_done: optimiser steps of the earlier run; 0 for a new one.
    """

    def __init__(self, results_dir: Path, steps_done: int) -> None:
        super().__init__(results_dir, name="tensorboard", version="", purge_step=steps_done)
        self._last_step = steps_done - 1

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Write scalars by name, as they are at a step (0 is the first)."""
        super().log_metrics({tag: value for tag, value in metrics.items() if not self._is_there(tag, step)}, step)

    @rank_zero_only
    def log_picture(self, tag: str, picture: npt.NDArray[np.uint8], step: int) -> None:
        """Write a picture, (H, W, 3) uint8, as it is at a step."""
        if not self._is_there(tag, step):
            self.add_picture(tag, picture, step)

    def _is_there(self, tag: str, step: int | None) -> bool:
        return step == self._last_step and tag in self._earlier_tags

    @cached_property
    def _earlier_tags(self) -> set[str]:
        return tags_at(Path(self.log_dir), self._last_step)


def tags_at(folder: Path, step: int) -> set[str]:
    """Names of what the event files of a folder hold at a step and no later run has hidden."""
    tags: set[str] = set()
    for path in sorted(folder.glob("events.out.tfevents.*")):
        for event in EventFileLoader(str(path)).Load():
            if event.session_log.status == SessionLog.START and event.step <= step:
                tags.clear()
            elif event.step == step:
                tags.update(value.tag for value in event.summary.value)
    return tags
