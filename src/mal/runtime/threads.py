"""Background threads, for work that must not block a GPU; and the cores there are for others."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar, cast

import numpy as np
import numpy.typing as npt

Item = TypeVar("Item")
Result = TypeVar("Result")

PendingArray = Callable[[], npt.NDArray[np.float32]]  # waits for values from a GPU

ENCODERS = 4  # threads when a GPU computes
READ_AHEAD = 4  # batches that wait for a GPU
_END = object()


CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def num_cores() -> int:
    """Number of cores that this process may use: those it is bound to, and no more than its container's quota."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, _, period = (CPU_QUOTA.read_text() if CPU_QUOTA.is_file() else "max").partition(" ")
    return min(bound, max(1, round(int(quota) / int(period)))) if quota.isdecimal() else bound


def num_encoder_threads(device: str) -> int:
    """Number of threads that encode masks while a device computes; 0 on the CPU, whose cores are busy."""
    return 0 if device == "cpu" else ENCODERS


def num_read_ahead(device: str) -> int:
    """Number of batches that are read ahead while a device computes; 0 on the CPU, whose cores are busy."""
    return 0 if device == "cpu" else READ_AHEAD


def read_ahead(items: Iterable[Item], count: int) -> Iterator[Item]:
    """Take items in another thread, so that a GPU does not wait for them.

    Args:
        items: taken in one thread, which also closes them; their errors are raised here.
        count: how many are taken before they are asked for; 0 takes them in this thread.
    """
    if not count:
        yield from items
        return
    iterator = iter(items)
    with ThreadPoolExecutor(1) as pool:
        coming = deque(pool.submit(next, iterator, _END) for _ in range(count))
        try:
            while (item := coming.popleft().result()) is not _END:
                coming.append(pool.submit(next, iterator, _END))
                yield cast(Item, item)
        finally:
            for each in coming:
                each.cancel()
            if isinstance(iterator, Generator):
                pool.submit(iterator.close).result()


def map_in_threads(work: Callable[[Item], Result], items: Iterable[Item], *, threads: int) -> Iterator[Result]:
    """Apply ``work`` to items in threads; yields the results in order while later items are produced.

    Args:
        work: runs in other threads; its errors are raised here.
        items: at most ``threads`` more items are taken than results were yielded.
        threads: 0 runs in this thread.
    """
    if not threads:
        yield from map(work, items)
        return
    with ThreadPoolExecutor(threads) as pool:
        running: deque[Future[Result]] = deque()
        for item in items:
            running.append(pool.submit(work, item))
            if len(running) > threads:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
