"""Memory that the C library gets back is kept for the next step, in place of being returned to the system."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_LARGEST = 2**31 - 1


def keep_freed_memory() -> None:
    """Let glibc keep what tensors free; elsewhere nothing happens.

    Tensors of one step are freed and made again in the next. By default the large ones go back to the system each
    time, and the page faults that follow cost a small convolutional network on a CPU a part of its step
    (docs/performance.md). The process never holds more than the peak that it had anyway.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries of Linux have none
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, 2**30)
        mallopt(_TRIM_THRESHOLD, _LARGEST)
