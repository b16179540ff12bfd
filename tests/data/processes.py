"""Whether processes run, for tests of loaders."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path


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
