"""The DataLoader of training, which reports in one line which image a worker failed or died on."""

from __future__ import annotations

import multiprocessing
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

from mal.data.worker_processes import WorkerStatus, crash_message, start_worker, starting_workers
from mal.errors import UserError
from mal.runtime.lightning_internals import shut_down_workers, worker_processes

T_co = TypeVar("T_co", covariant=True)

SECONDS_TO_DIE = 1.0  # between a broken pipe and the end of the process that broke it


class FailFastDataLoader(DataLoader[T_co]):
    """A `torch.utils.data.DataLoader` that raises a `UserError` as soon as a worker fails or dies.

    Datasets return a `UserError` as an item, and it is raised here; raised in the worker, it would arrive with its
    traceback as text. If a worker dies, the error names the image that it was reading.

    Args:
        dataset: as in the base class; it reads each image inside `mal.data.worker_processes.reading_image`.
        num_workers: worker processes; they persist between epochs.
        image_name: gives the name of the image at a position, for messages.
        options: further arguments of the base class.
    """

    def __init__(
        self, dataset: Dataset[T_co], *, num_workers: int, image_name: Callable[[int], str], **options: Any
    ) -> None:
        self.board = WorkerStatus(num_workers)
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
        with self._failures_on_one_line(), starting_workers():
            batches = super().__iter__()
        return self._items(batches)

    def _items(self, batches: Iterator[T_co]) -> Iterator[T_co]:
        while True:
            with self._failures_on_one_line():
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
    def _failures_on_one_line(self) -> Iterator[None]:
        workers = worker_processes(self)
        try:
            with _raise_on_worker_exit(workers):
                yield
        except (RuntimeError, OSError, EOFError) as error:
            dead = _find_exited_workers(workers)
            if not dead:
                raise
            shut_down_workers(self)
            raise UserError(
                "; ".join(
                    crash_message(self.board, number, workers[number].exitcode, self.image_name) for number in dead
                )
            ) from error


def _find_exited_workers(workers: list[BaseProcess]) -> list[int]:
    """Find the workers that have exited, by number; waits a moment, because an error arrives before the exit."""
    if not workers:
        return []
    ended = multiprocessing.connection.wait([worker.sentinel for worker in workers], timeout=SECONDS_TO_DIE)
    numbers = [number for number, worker in enumerate(workers) if worker.sentinel in ended]
    for number in numbers:
        workers[number].join()  # it has closed its files, and is about to have an exit code
    return numbers


@contextmanager
def _raise_on_worker_exit(workers: list[BaseProcess]) -> Iterator[None]:
    """Raise as soon as a worker exits; otherwise a half-written message blocks the main process."""

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
