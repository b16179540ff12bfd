"""What a person sees while a task runs: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

console = Console(highlight=False, soft_wrap=True)
SECONDS_BETWEEN_LINES = 15.0


class TaskProgress:
    """Counts the units of a task; see :func:`task_progress`."""

    def __init__(self, name: str, total: int, unit: str, bar: Progress | None) -> None:
        self.name = name
        self.total = total
        self.unit = unit
        self.done = 0
        self._bar = bar
        self._row = bar.add_task(name, total=total, rate="", details="") if bar else None
        self._start = self._last_line = time.monotonic()
        self._resumed_at = 0

    def resume_at(self, done: int) -> None:
        """Begin with some units done by an earlier run; the rate counts only those of this one."""
        self.done = self._resumed_at = done

    def advance(self, count: int, details: str = "") -> None:
        """Add finished units; ``details`` is shown beside the count."""
        self.done += count
        if self._bar is not None and self._row is not None:
            self._bar.update(self._row, completed=self.done, rate=self._rate_text(), details=details)
        elif time.monotonic() - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            self._print_line(details)

    @property
    def rate(self) -> float:
        """Units a second so far."""
        return (self.done - self._resumed_at) / max(time.monotonic() - self._start, 1e-9)

    def _rate_text(self) -> str:
        return f"{self.rate:.1f} {self.unit}/s"

    def _print_line(self, details: str) -> None:
        left = (self.total - self.done) / self.rate if self.rate else 0.0
        parts = [f"{self.name}: {self.done}/{self.total} {self.unit}", self._rate_text(), f"{_duration(left)} left"]
        console.print("  ".join([*parts, details] if details else parts))


@contextmanager
def task_progress(name: str, total: int, unit: str = "boxes") -> Iterator[TaskProgress]:
    """Show the progress of a task: count, rate, time left, details.

    Args:
        name: what is being done.
        total: number of units.
        unit: their name, in the plural.
    """
    if not console.is_terminal:
        yield TaskProgress(name, total, unit, None)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[details]}"),
    )
    with Progress(*columns, console=console) as bar:
        yield TaskProgress(name, total, unit, bar)


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
