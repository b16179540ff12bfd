"""Background threads for work that a GPU need not wait for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Item = TypeVar("Item")
Result = TypeVar("Result")

PendingArray = Callable[[], npt.NDArray[np.float32]]  # waits for numbers to arrive from a GPU

ENCODERS = 4  # threads beside a GPU


def num_encoder_threads(device: torch.device) -> int:
    """How many threads should make masks while a device computes: none where it is the CPU, whose cores are busy."""
    return 0 if device.type == "cpu" else ENCODERS


def map_in_threads(work: Callable[[Item], Result], items: Iterable[Item], *, threads: int) -> Iterator[Result]:
    """Results of ``work`` on items, in their order, each while later items are made.

    Args:
        work: runs in other threads; its error is raised here.
        items: at most ``threads`` more of them are taken than results were given out.
        threads: 0 works on each item in turn.
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


def copy_to_cpu_async(tensor: Tensor) -> PendingArray:
    """Start to copy a float32 tensor to the CPU; the function that is given waits for it to arrive."""
    if tensor.device.type != "cuda":
        array: npt.NDArray[np.float32] = tensor.cpu().numpy()
        return lambda: array
    copy = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    copy.copy_(tensor, non_blocking=True)
    arrived = torch.cuda.Event()
    arrived.record(torch.cuda.current_stream(tensor.device))

    def wait() -> npt.NDArray[np.float32]:
        arrived.synchronize()
        return copy.numpy()

    return wait
