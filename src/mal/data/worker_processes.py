"""Processes that read images: how they start and end, and one line on which image one of them died."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

NOTHING = -1


class WorkerStatus:
    """Shared record of the image each worker process is reading, used to report crashes.

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


_worker_slot: tuple[WorkerStatus, int] | None = None  # of this process


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
if sys.platform == "linux":  # elsewhere the sender is unknown, and a main process ends its workers with it
    RUN_SIGNALS.add(signal.SIGTERM)

CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE)


def start_worker(board: WorkerStatus, main_process: int, worker: int) -> None:
    """Set up a loader process, at its start.

    Args:
        board: where it records the image that it is reading.
        main_process: id of the main process.
        worker: number of this worker.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, RUN_SIGNALS)
    for crash in CRASHES:  # the main process reports it, better than a handler that PyTorch may have set
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


def crash_message(board: WorkerStatus, worker: int, exit_code: int | None, image_name: Callable[[int], str]) -> str:
    """Describe the end of a worker in one line.

    Args:
        board: where it recorded the image that it was reading.
        worker: its number.
        exit_code: as of `multiprocessing.Process`.
        image_name: gives the name of the image at a position.
    """
    position = board.position(worker)
    who = "a loader process" if position is None else f"image {image_name(position)}: the process reading it"
    when = " between two images" if position is None else ""
    if not exit_code or exit_code > 0:
        return f"{who} ended by itself{when} (exit code {exit_code}): a library it uses must have stopped it"
    name = signal.Signals(-exit_code).name
    meaning = MEANINGS.get(signal.Signals(-exit_code), "by something outside of this program")
    return f"{who} was killed{when} ({name}), {meaning}"


@contextmanager
def starting_workers() -> Iterator[None]:
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
