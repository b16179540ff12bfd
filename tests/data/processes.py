"""What happens in processes that load data, for tests of loaders."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


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
