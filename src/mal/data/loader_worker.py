"""How a loader process behaves: it serves its main process, obeys nobody else, and ends with it."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading

from mal.data.reading_board import ReadingBoard, take_place

SECONDS_BETWEEN_LOOKS = 1.0

# A terminal and a cluster send these to every process of a run. The main one decides what becomes of it: it may finish
# its step and save, for which it needs its workers.
RUN_SIGNALS = {signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2}
if sys.platform == "linux":  # elsewhere nobody can tell who sent it, and PyTorch ends its workers with it
    RUN_SIGNALS.add(signal.SIGTERM)

CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE)


def start_worker(board: ReadingBoard, main_process: int, worker: int) -> None:
    """Set up a loader process, as its ``worker_init_fn``.

    Args:
        board: where it shows what it is at work on.
        main_process: id of the process that it serves.
        worker: its number.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, RUN_SIGNALS)
    for crash in CRASHES:  # the main process says it better than PyTorch's handlers
        signal.signal(crash, signal.SIG_DFL)
    take_place(board, worker)
    gc.freeze()  # a collection would touch, and so copy, all that is shared with the main process
    if sys.platform == "linux":
        threading.Thread(target=_end_with, args=(main_process,), daemon=True).start()


def _end_with(main_process: int) -> None:
    """End this process when its main process says so with SIGTERM, or is no more."""
    if sys.platform == "linux":
        while os.getppid() == main_process:
            told = signal.sigtimedwait({signal.SIGTERM}, SECONDS_BETWEEN_LOOKS)
            if told is not None and told.si_pid == main_process:
                break
        os._exit(0)
