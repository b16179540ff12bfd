"""End all child processes on one machine soon after one fails."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Sequence
from subprocess import Popen

from mal.extras import is_installed
from mal.runtime.launch import this_launch

SECONDS_BETWEEN_LOOKS = 0.5
SECONDS_TO_NOTICE = 5.0  # so that a process that notices another's end by itself can exit cleanly


def end_together() -> None:
    """Let no process outlive another that failed; call it before processes are started, and in each of them.

    The trainer's own watch ends this process by SIGKILL, which hides the exit code, and leaves the others alone when
    this one fails. Processes of torchrun and SLURM are theirs to end.
    """
    if is_installed("lightning"):  # else nothing starts processes
        from mal.runtime.lightning_internals import replace_child_observer

        replace_child_observer(_watch_children)
    launch = this_launch()
    if launch.launcher is None and launch.rank:
        threading.Thread(target=_exit_with_parent, args=(os.getppid(),), daemon=True).start()


def is_lost_process_error(error: BaseException) -> bool:
    """Whether an error only says that another process no longer answers."""
    text = str(error)
    return isinstance(error, RuntimeError) and any(
        sign in text for sign in ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "NCCL error")
    )


def _watch_children(children: Sequence[Popen[bytes]]) -> None:
    threading.Thread(target=_kill_all_on_first_failure, args=(children,), daemon=True).start()


def _kill_all_on_first_failure(children: Sequence[Popen[bytes]]) -> None:
    while not any(child.poll() for child in children):
        if all(child.returncode == 0 for child in children):
            return
        time.sleep(SECONDS_BETWEEN_LOOKS)
    time.sleep(SECONDS_TO_NOTICE)
    for child in children:
        child.kill()
    sys.stdout.flush()
    os._exit(1)


def _exit_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(SECONDS_BETWEEN_LOOKS)
    os._exit(1)
