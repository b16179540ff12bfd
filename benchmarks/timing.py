"""Timing two ways of doing the same thing against each other, on a machine that has other things to do."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

import torch


@dataclass(frozen=True)
class Comparison:
    """Seconds of each run; run i of both sides happened next to each other."""

    baseline: tuple[float, ...]
    product: tuple[float, ...]

    @property
    def ratios(self) -> tuple[float, ...]:
        """How many times faster the product was, pair by pair."""
        return tuple(slow / fast for slow, fast in zip(self.baseline, self.product, strict=True))

    @property
    def ratio(self) -> float:
        """The median of ``ratios``: what disturbs the machine hits both halves of a pair, so it mostly cancels."""
        return median(self.ratios)


def compare(
    baseline: Callable[[], object], product: Callable[[], object], *, repeats: int, device: torch.device
) -> Comparison:
    """Time both sides ``repeats`` times in turn, after one unmeasured run of each.

    The side that goes first changes from pair to pair, so that neither always finds the caches warm.
    """
    seconds: dict[str, list[float]] = {"baseline": [], "product": []}
    sides = [("baseline", baseline), ("product", product)]
    for _, function in sides:
        measure_seconds(function, device)
    for pair in range(repeats):
        for name, function in sides if pair % 2 == 0 else reversed(sides):
            seconds[name].append(measure_seconds(function, device))
    return Comparison(tuple(seconds["baseline"]), tuple(seconds["product"]))


def seconds_in_turn(
    sides: Mapping[str, Callable[[], object]], *, repeats: int, device: torch.device
) -> dict[str, tuple[float, ...]]:
    """Time any number of sides ``repeats`` times in turn, each time from another one on, after an unmeasured run."""
    names = list(sides)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for function in sides.values():
        measure_seconds(function, device)
    for turn in range(repeats):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            seconds[name].append(measure_seconds(sides[name], device))
    return {name: tuple(values) for name, values in seconds.items()}


def measure_seconds(function: Callable[[], object], device: torch.device) -> float:
    """How long a call takes until the device has done all of it."""
    _synchronize(device)
    start = time.perf_counter()
    function()
    _synchronize(device)
    return time.perf_counter() - start


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
