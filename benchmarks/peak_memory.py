"""The most memory that this process has had at a time."""

from __future__ import annotations

import resource
import sys
from pathlib import Path


def peak_bytes_of_process() -> int:
    """Resident bytes, the libraries' own included."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux hands ru_maxrss of a process on to the programs that it starts
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return 1024 * int(line.split()[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
