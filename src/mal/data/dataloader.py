"""A DataLoader that reports in one line which image a worker failed or died on."""

from __future__ import annotations

import gc
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

from mal.errors import UserError
from mal.runtime.lightning_internals import shut_down_workers, worker_processes

NOTHING = -1


class WorkerStatus:
    """Shared record of the image each DataLoader worker is reading, used to report crashes.

    Args:
        num_workers: number of processes that write to it.
    """

    def __init__(self, num_workers: int) -> None:
        self._positions = multiprocessing.RawArray("q", [NOTHING] * num_workers)

    def position(self, worker: int) -> int | None:
        """Position of the image that a worker is reading, or was reading when it died; None between images."""
        position = self._positions[worker]
        return None if position == NOTHING else position

    def write(self, worker: int, position: int) -> None:
        """Record a position, or `NOTHING`."""
        self._positions[worker] = position


_worker_slot: tuple[WorkerStatus, int] | None = None  # of this process, as torch.utils.data.get_worker_info() has it


def set_worker_slot(board: WorkerStatus, worker: int) -> None:
    """Register this process as a worker; `reading_image` then writes to its slot."""
    global _worker_slot
    _worker_slot = (board, worker)


@contextmanager
def reading_image(position: int) -> Iterator[None]:
    """Record which image the block reads; does nothing in a process without a slot."""
    if _worker_slot is None:
        yield
        return
    board, worker = _worker_slot
    board.write(worker, position)
    try:
        yield
    finally:
        board.write(worker, NOTHING)


SECONDS_BETWEEN_LOOKS = 1.0

# Terminals and clusters send these to every process of a run. The main process decides what to do: it may finish its
# step and save, for which it needs its workers.
RUN_SIGNALS = {signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2}
if sys.platform == "linux":  # elsewhere the sender is unknown, and PyTorch ends its workers with it
    RUN_SIGNALS.add(signal.SIGTERM)

CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE)


def start_worker(board: WorkerStatus, main_process: int, worker: int) -> None:
    """Set up a loader process, as its ``worker_init_fn``.

    Args:
        board: where it records the image that it is reading.
        main_process: id of the main process.
        worker: number of this worker.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, RUN_SIGNALS)
    for crash in CRASHES:  # the main process reports it better than PyTorch's handlers
        signal.signal(crash, signal.SIG_DFL)
    set_worker_slot(board, worker)
    gc.freeze()  # a collection would touch, and so copy, all that is shared with the main process
    if sys.platform == "linux":
        threading.Thread(target=_exit_on_sigterm_or_orphaned, args=(main_process,), daemon=True).start()


def _exit_on_sigterm_or_orphaned(main_process: int) -> None:
    """End this process on SIGTERM from its main process, or when the main process has ended."""
    if sys.platform == "linux":
        while os.getppid() == main_process:
            received = signal.sigtimedwait({signal.SIGTERM}, SECONDS_BETWEEN_LOOKS)
            if received is not None and received.si_pid == main_process:
                break
        os._exit(0)


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


class FailFastDataLoader(DataLoader[T_co]):
    """A `torch.utils.data.DataLoader` that raises a `UserError` as soon as a worker fails or dies.

    Datasets return a `UserError` as an item, and it is raised here; raised in the worker, it would arrive with its
    traceback as text. If a worker dies, the error names the image that it was reading.

    Args:
        dataset: as in the base class; it reads each image inside `mal.data.dataloader.reading_image`.
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
        with self._failures_on_one_line(), _starting_workers():
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
                "; ".join(self._crash_message(number, workers[number].exitcode) for number in dead)
            ) from error

    def _crash_message(self, number: int, exit_code: int | None) -> str:
        position = self.board.position(number)
        who = "a loader process" if position is None else f"image {self.image_name(position)}: the process reading it"
        when = " between two images" if position is None else ""
        if not exit_code or exit_code > 0:
            return f"{who} ended by itself{when} (exit code {exit_code}): a library it uses must have stopped it"
        name = signal.Signals(-exit_code).name
        meaning = MEANINGS.get(signal.Signals(-exit_code), "by something outside of this program")
        return f"{who} was killed{when} ({name}), {meaning}"


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
def _starting_workers() -> Iterator[None]:
    """Block signals while workers start, until each has installed its own handlers.

    PyTorch's SIGCHLD handler is removed: it raises anywhere in the main thread, even within an optimizer step, where no
    state can be saved. Ignoring SIGCHLD, as some parent processes do, is undone: exit codes would be lost.
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
