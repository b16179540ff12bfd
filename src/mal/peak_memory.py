"""The most memory that this process has had at a time."""

from __future__ import annotations

import sys
from pathlib import Path


def peak_bytes_of_process() -> int:
    """Resident bytes, the libraries' own included and those of loader processes not; not to be asked on Windows."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux hands ru_maxrss of a process on to the programs that it starts
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return 1024 * int(line.split()[1])
    import resource  # which Windows lacks

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
