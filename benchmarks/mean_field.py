"""How much faster is the mean field of ``mal.ops`` than the textbook formula that unfolds every window?"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.baselines.unfold_mean_field import unfold_mean_field
from benchmarks.report import Row
from benchmarks.timing import Comparison, compare
from mal.ops.mean_field import mean_field

QUESTION = (
    "Mean-field refinement: unfolding every window (baseline) against mal.ops.mean_field; "
    "on a CPU the processor time of one thread"
)


@dataclass(frozen=True)
class Case:
    side: int
    kernel_size: int
    num_iter: int
    batch: int = 4
    restless: bool = False

    @property
    def name(self) -> str:
        rest = ", restless" if self.restless else ""
        return f"{self.batch} × {self.side}², kernel {self.kernel_size}, {self.num_iter} iterations{rest}"


# 128² is the map of a 512-pixel crop, 100 the default number of iterations. Most large maps get fewer, on both sides,
# because the baseline would take minutes; the fixed cost of the weights then counts for more, on both sides.
# The product leaves out what lies outside the box and what no longer changes. How much that is depends on the picture:
# a restless one leaves nothing out.
CASES = (
    Case(side=64, kernel_size=3, num_iter=100),
    Case(side=128, kernel_size=3, num_iter=100),
    Case(side=128, kernel_size=3, num_iter=100, restless=True),
    Case(side=256, kernel_size=3, num_iter=50),
    Case(side=512, kernel_size=3, num_iter=100),
    Case(side=512, kernel_size=3, num_iter=20),
    Case(side=512, kernel_size=3, num_iter=20, restless=True),
    Case(side=64, kernel_size=5, num_iter=100),
    Case(side=128, kernel_size=5, num_iter=50),
    Case(side=128, kernel_size=5, num_iter=50, restless=True),
    Case(side=256, kernel_size=5, num_iter=20),
    Case(side=512, kernel_size=5, num_iter=10),
)


def measure(device: torch.device, *, repeats: int) -> list[Row]:
    """One row a case. Raises AssertionError where the two sides do not give the same result.

    On a CPU both sides are compared on one thread, by a time that nothing else on the machine lengthens. With all
    threads and by the clock, the baseline takes up to a hundred times as long on a busy machine: its threads wait for
    each other many times in every iteration, the product's only at the end.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [_measure_case(case, device, repeats) for case in CASES]
    finally:
        torch.set_num_threads(threads)


def _measure_case(case: Case, device: torch.device, repeats: int) -> Row:
    make = make_restless_inputs if case.restless else make_inputs
    image, prob, box_mask = (tensor.to(device) for tensor in make(case.batch, case.side))
    baseline, product = (
        partial(function, image, prob, box_mask, kernel_size=case.kernel_size, num_iter=case.num_iter)
        for function in (unfold_mean_field, mean_field)
    )
    assert_same_result(baseline(), product())
    if device.type == "cpu":
        seconds = [(_processor_seconds(baseline), _processor_seconds(product)) for _ in range(repeats)]
        slow, fast = zip(*seconds, strict=True)
        return Row(case.name, Comparison(slow, fast))
    return Row(case.name, compare(baseline, product, repeats=repeats, device=device))


def _processor_seconds(function: Callable[[], Tensor]) -> float:
    start = time.process_time()
    function()
    return time.process_time() - start


def make_inputs(batch: int, side: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Blotchy colours, a blurry blob and a box: (B, 3, S, S), (B, S, S), (B, S, S), the last two in 0..1."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(batch, 3, 8, 8, generator=generator)
    image = F.interpolate(coarse, size=(side, side), mode="bicubic", align_corners=False)
    image += 0.05 * torch.randn(image.shape, generator=generator)
    axis = torch.linspace(-1, 1, side)
    prob = torch.exp(-2 * (axis[:, None].square() + axis[None, :].square())).expand(batch, side, side).contiguous()
    box_mask = torch.zeros(batch, side, side)
    margin = side // 8
    box_mask[:, margin : side - margin, margin : side - margin] = 1
    return image, prob, box_mask


def make_restless_inputs(batch: int, side: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Noise in which no value comes to rest in 100 iterations, and a box that is the whole map. Shapes as above."""
    generator = torch.Generator().manual_seed(seed)
    image = 0.2 * torch.randn(batch, 3, side, side, generator=generator)
    return image, torch.rand(batch, side, side, generator=generator), torch.ones(batch, side, side)


def assert_same_result(baseline: Tensor, product: Tensor) -> None:
    """Equal up to the rounding that iterations may amplify: 2e-3 on 99.9 % of the pixels, as are 0.5's two sides."""
    close = (baseline - product).abs() < 2e-3
    same_side = (baseline > 0.5) == (product > 0.5)
    assert close.float().mean() >= 0.999, f"only {close.float().mean():.4%} of the pixels agree"
    assert same_side.float().mean() >= 0.999, f"only {same_side.float().mean():.4%} of the mask agrees"
