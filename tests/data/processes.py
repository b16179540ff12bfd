"""What happens in processes that load data, for tests of loaders."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType

import pytest

Begin = Callable[[Path], tuple[object, list[int]]]
"""Starts to load photos that it makes in a folder; what must be kept alive, and the pids of its processes."""


def is_running(pid: int) -> bool:
    try:
        return "zombie" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def wait_until(is_true: Callable[[], bool], seconds: float = 120) -> bool:
    limit = time.monotonic() + seconds
    while not is_true() and time.monotonic() < limit:
        time.sleep(0.02)
    return is_true()


def before_reading(monkeypatch: pytest.MonkeyPatch, dataset: ModuleType, event: Callable[[], object]) -> None:
    """Let something happen in the process that reads image 4 for a data set, before it is read."""
    original = dataset.read_record_image

    def read(folder, record):
        if record.position == 4:
            event()
        return original(folder, record)

    monkeypatch.setattr(dataset, "read_record_image", read)


def workers_of_a_killed_process(begin: Begin, folder: Path) -> list[int]:
    """Pids of the loader processes of a main process, which were running when it was killed."""
    here, there = multiprocessing.Pipe()
    main = multiprocessing.Process(target=_begin_and_stay, args=(begin, folder, there))
    main.start()
    workers = here.recv()
    assert all(map(is_running, workers))
    main.kill()
    main.join()
    return workers


def _begin_and_stay(begin: Begin, folder: Path, pids: Connection) -> None:
    batches, workers = begin(folder)
    pids.send(workers)
    time.sleep(100)
    del batches


def process_that_ends_early(begin: Begin, folder: Path) -> subprocess.CompletedProcess[str]:
    """A main process that ends while it loads; it prints the pids of its loader processes."""
    act = f"import sys; from pathlib import Path; from {begin.__module__} import {begin.__name__} as begin;"
    act += "batches, workers = begin(Path(sys.argv[1])); print(*workers)"
    return subprocess.run(
        [sys.executable, "-c", act, str(folder)], capture_output=True, text=True, timeout=600, check=False
    )
