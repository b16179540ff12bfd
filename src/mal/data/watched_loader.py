"""A loader that says what is wrong in one line when one of its processes fails or dies."""

from __future__ import annotations

import multiprocessing.connection
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from torch.utils.data import DataLoader, Dataset

from mal.data.loader_worker import RUN_SIGNALS, start_worker
from mal.data.reading_board import ReadingBoard
from mal.errors import UserError

T_co = TypeVar("T_co", covariant=True)

SECONDS_TO_DIE = 1.0  # between a broken pipe and the end of the process that broke it
OUT_OF_MEMORY = (
    "probably because memory ran out: set dataset.num_workers_per_gpu lower, use smaller images, or take more memory"
)
CRASHED = "the file is damaged or its decoder is at fault: check the image, and leave it out if need be"
SHARED_MEMORY_FULL = (
    "probably because /dev/shm is full: set dataset.num_workers_per_gpu lower, or give the container more shared memory"
)
MEANINGS = {
    signal.SIGKILL: OUT_OF_MEMORY,
    signal.SIGSEGV: CRASHED,
    signal.SIGFPE: CRASHED,
    signal.SIGILL: CRASHED,
    signal.SIGABRT: CRASHED,
    signal.SIGBUS: SHARED_MEMORY_FULL,
}


class WatchedLoader(DataLoader[T_co]):
    """A `torch.utils.data.DataLoader` whose failures are a `UserError`, raised where the next batch is asked for.

    An item that is a `UserError` is raised instead of given out: an error that is raised in a loader process would
    arrive with its traceback as its text. A process that dies is named with the image that it was at work on.

    Args:
        dataset: as of the base class; its code wraps the work on an image in `mal.data.reading_board.at_work_on`.
        num_workers: loader processes; they stay from epoch to epoch.
        image_name: what to call the image of a position on the board.
        options: further arguments of the base class.
    """

    def __init__(
        self, dataset: Dataset[T_co], *, num_workers: int, image_name: Callable[[int], str], **options: Any
    ) -> None:
        self.board = ReadingBoard(num_workers)
        self.image_name = image_name
        super().__init__(
            dataset,
            num_workers=num_workers,
            persistent_workers=num_workers > 0,
            # Forked workers share what has been read with the main process; Python 3.14 would not fork by itself.
            multiprocessing_context="fork" if num_workers and sys.platform == "linux" else None,
            worker_init_fn=partial(start_worker, self.board, os.getpid()),
            **options,
        )

    def __iter__(self) -> Iterator[T_co]:  # type: ignore[override]  # which promises a private class
        with self._failures_in_one_line(), _starting_workers():
            batches = super().__iter__()
        return self._items(batches)

    def _items(self, batches: Iterator[T_co]) -> Iterator[T_co]:
        while True:
            with self._failures_in_one_line():
                item = next(batches, None)
            if item is None:
                return
            if isinstance(item, UserError):
                try:
                    raise item
                finally:
                    del item  # a frame that holds its own error would keep the workers until the next collection
            yield item

    @contextmanager
    def _failures_in_one_line(self) -> Iterator[None]:
        batches: Any = self._iterator  # none before the first pass, and none at all without loader processes
        workers: list[BaseProcess] = [] if batches is None else batches._workers
        try:
            with _woken_by_a_death_of(workers):
                yield
        except (RuntimeError, OSError, EOFError) as error:
            dead = _dead_of(workers)
            if not dead:
                raise
            batches._shutdown_workers()
            self._iterator = None
            raise UserError("; ".join(self._obituary(number, workers[number].exitcode) for number in dead)) from error

    def _obituary(self, number: int, exit_code: int | None) -> str:
        position = self.board.position(number)
        who = "a loader process" if position is None else f"image {self.image_name(position)}: the process reading it"
        when = " between two images" if position is None else ""
        if not exit_code or exit_code > 0:
            return f"{who} ended by itself{when} (exit code {exit_code}): a library it uses must have stopped it"
        name = signal.Signals(-exit_code).name
        meaning = MEANINGS.get(signal.Signals(-exit_code), "by something outside of this program")
        return f"{who} was killed{when} ({name}), {meaning}"


def _dead_of(workers: list[BaseProcess]) -> list[int]:
    """Numbers of the workers that have ended; after an error it may take a moment until one has."""
    if not workers:
        return []
    ended = multiprocessing.connection.wait([worker.sentinel for worker in workers], timeout=SECONDS_TO_DIE)
    numbers = [number for number, worker in enumerate(workers) if worker.sentinel in ended]
    for number in numbers:
        workers[number].join()  # it has closed its files, and is about to have an exit code
    return numbers


@contextmanager
def _starting_workers() -> Iterator[None]:
    """Lets no signal catch a new process before it knows which ones are not for it.

    PyTorch's own handler, which raises wherever the main thread happens to be, is taken out: amid a step of the
    optimiser there is no state worth saving. Nor may the end of a child be ignored, as some parents leave it: its exit
    code would be lost.
    """
    is_main_thread = threading.current_thread() is threading.main_thread()
    child_handler = signal.getsignal(signal.SIGCHLD)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, RUN_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if is_main_thread:
            signal.signal(signal.SIGCHLD, child_handler if callable(child_handler) else signal.SIG_DFL)


@contextmanager
def _woken_by_a_death_of(workers: list[BaseProcess]) -> Iterator[None]:
    """Raises at once where a worker is dead or dies: amid a message it would leave its reader waiting for ever."""

    def look(*_: object) -> None:
        if any(worker.exitcode is not None for worker in workers):
            raise RuntimeError("a loader process died")

    if not workers or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGCHLD, look)
    try:
        look()
        yield
    finally:
        signal.signal(signal.SIGCHLD, before)
