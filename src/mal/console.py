"""Terminal output: a progress bar on a terminal, plain lines in logs.

Texts are shown verbatim: names come from users and files, so they are never read as markup, and control characters
are escaped. Pass strings to the console, one for each line or table cell; `rich.text.Text` would bypass the escaping.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from mal.printable import printable


class PlainConsole(Console):
    """Rich's console for untrusted texts; the arguments are those of `rich.console.Console`."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"markup": False, "emoji": False, "highlight": False, "soft_wrap": True} | settings)

    def render_str(self, text: str, **settings: Any) -> Text:
        """Escape unprintable characters; every string that Rich shows passes through here."""
        return super().render_str(printable(text), **settings)


console = PlainConsole()
SECONDS_BETWEEN_LINES = 15.0


def tell(make_line: Callable[[], str | None]) -> None:
    """Print a line that is costly to make, unless the console is quiet; prints nothing for None."""
    if not console.quiet and (line := make_line()) is not None:
        console.print(line)


@contextmanager
def quiet_console() -> Iterator[None]:
    """Print nothing in this block: its lines are printed elsewhere, or mean nothing to the user."""
    before = console.quiet
    console.quiet = True
    try:
        yield
    finally:
        console.quiet = before


class TaskProgress:
    """Counts the units of a task; see :func:`task_progress`.

    Attributes:
        done: finished units, including those of an earlier run.
        seconds_ahead: time of future pauses; part of the time left.
        most_seconds_left: a limit of time that ends the task before all units are done; None for none.
    """

    def __init__(self, name: str, total: int, unit: str, bar: Progress | None) -> None:
        self.name = name
        self.total = total
        self.unit = unit
        self.done = 0
        self.seconds_ahead = 0.0
        self.most_seconds_left: float | None = None
        self._bar = bar
        self._row = bar.add_task(name, total=total, rate="", left="", details="") if bar else None
        self._start = self._last_line = time.monotonic()
        self._paused_at: float | None = None
        self._resumed_at = 0

    def resume_at(self, done: int) -> None:
        """Start with units finished by an earlier run; the rate counts only those of this run."""
        self.done = self._resumed_at = done
        self._update_bar("")

    def advance(self, count: int, details: str = "") -> None:
        """Add finished units; ``details`` is shown below or beside the count."""
        self.done += count
        self._update_bar(details)
        if self._bar is None and time.monotonic() - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            self._print_line(details)

    def pause(self, details: str) -> None:
        """Pause the clock of the rate during other work; ``details`` names that work."""
        self._paused_at = time.monotonic()
        self._update_bar(details)

    def unpause(self, details: str = "") -> float:
        """Start the clock again; returns the seconds of the pause."""
        assert self._paused_at is not None
        seconds = time.monotonic() - self._paused_at
        self._start += seconds
        self._paused_at = None
        self._update_bar(details)
        return seconds

    @property
    def rate(self) -> float:
        """Units per second so far, without pauses."""
        now = time.monotonic() if self._paused_at is None else self._paused_at
        return (self.done - self._resumed_at) / max(now - self._start, 1e-9)

    def _update_bar(self, details: str) -> None:
        if self._bar is not None and self._row is not None:
            self._bar.update(
                self._row, completed=self.done, rate=self._rate_text(), left=self._left_text(), details=details
            )

    def _rate_text(self) -> str:
        return f"{self.rate:.1f} {self.unit}/s"

    def _left_text(self) -> str:
        if not self.rate:
            return ""
        seconds = (self.total - self.done) / self.rate + self.seconds_ahead
        if self.most_seconds_left is not None:
            seconds = min(seconds, self.most_seconds_left)
        return f"{duration_text(seconds)} left"

    def _print_line(self, details: str) -> None:
        parts = [f"{self.name}: {self.done}/{self.total} {self.unit}", self._rate_text(), self._left_text(), details]
        console.print("  ".join(part for part in parts if part))


class _BarAboveDetails(Progress):
    """The bar of a task with its details on a separate line, truncated to the terminal's width."""

    def get_renderables(self) -> Iterator[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        for task in self.tasks:
            yield Text(printable(task.fields["details"]), no_wrap=True, overflow="ellipsis")


@contextmanager
def task_progress(name: str, total: int, unit: str = "boxes") -> Iterator[TaskProgress]:
    """Show the progress of a task: count, rate, time left, details.

    Args:
        name: name of the task.
        total: number of units.
        unit: plural name of the units.
    """
    if not console.is_terminal:
        yield TaskProgress(name, total, unit, None)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),  # the line fits into 80 columns up to millions of units
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}", markup=False),
        TextColumn("{task.fields[left]}", markup=False),
    )
    with _BarAboveDetails(*columns, console=console) as bar:
        yield TaskProgress(name, total, unit, bar)


def duration_text(seconds: float) -> str:
    """Format seconds as h:mm:ss or m:ss."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
