"""Limit the time of training; a resumed run keeps the time that it has spent."""

from __future__ import annotations

import time
from typing import Any

from lightning import Callback, LightningModule, Trainer

from mal.console import duration_text


class TimeIsUp(Exception):  # noqa: N818 -- nobody has made an error
    """Training has ended between two steps, with its state saved, because its time is spent."""


class TimeLimit(Callback):
    """Measures the time of training steps, without validations, over all starts of a run.

    Args:
        minutes: longest time; None only measures.

    Attributes:
        seconds: time spent so far.
    """

    def __init__(self, minutes: float | None) -> None:
        self.seconds = 0.0
        self._limit = minutes * 60 if minutes is not None else None
        self._since: float | None = None

    @property
    def is_up(self) -> bool:
        """Whether the time is spent."""
        return self._limit is not None and self.seconds >= self._limit

    @property
    def seconds_left(self) -> float | None:
        """Seconds of training until the time is spent, at least 0; None without a limit."""
        return None if self._limit is None else max(0.0, self._limit - self.seconds)

    def state_dict(self) -> dict[str, Any]:
        """State for the checkpoint."""
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the time that earlier starts have spent."""
        self.seconds = float(state_dict["seconds"])

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock.

        Raises:
            TimeIsUp: earlier starts have spent the time.
        """
        if self.is_up:
            raise TimeIsUp(f"{duration_text(self.seconds)} of training are spent")
        self._since = time.monotonic()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        """Add the time since the last step."""
        self._add()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock."""
        self._add()
        self._since = None

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock again."""
        self._since = time.monotonic()

    def _add(self) -> None:
        if self._since is not None:
            now = time.monotonic()
            self.seconds += now - self._since
            self._since = now
