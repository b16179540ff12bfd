"""Background threads, for work that must not block a GPU."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Item = TypeVar("Item")
Result = TypeVar("Result")

PendingArray = Callable[[], npt.NDArray[np.float32]]  # waits for values from a GPU

ENCODERS = 4  # threads when a GPU computes


def num_encoder_threads(device: str) -> int:
    """Number of threads that encode masks while a device computes; 0 on the CPU, whose cores are busy."""
    return 0 if device == "cpu" else ENCODERS


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
