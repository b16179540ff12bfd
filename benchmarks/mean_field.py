"""How much faster is the mean field of ``mal.ops`` than the textbook formula that unfolds every window?"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.baselines.unfold_mean_field import unfold_mean_field
from benchmarks.report import Row
from benchmarks.timing import compare
from mal.ops.mean_field import mean_field

QUESTION = "Mean-field refinement: unfolding every window (baseline) against mal.ops.mean_field"


@dataclass(frozen=True)
class Case:
    side: int
    kernel_size: int
    num_iter: int
    batch: int = 4

    @property
    def name(self) -> str:
        return f"{self.batch} × {self.side}², kernel {self.kernel_size}, {self.num_iter} iterations"


# 128² is the map of a 512-pixel crop, 100 the default number of iterations. Large maps get fewer, on both sides,
# because the baseline would take minutes; the fixed cost of the weights then counts for more, on both sides.
CASES = (
    Case(side=128, kernel_size=3, num_iter=100),
    Case(side=256, kernel_size=3, num_iter=50),
    Case(side=512, kernel_size=3, num_iter=20),
    Case(side=128, kernel_size=5, num_iter=50),
    Case(side=256, kernel_size=5, num_iter=20),
    Case(side=512, kernel_size=5, num_iter=10),
)


def measure(device: torch.device, *, repeats: int) -> list[Row]:
    """One row a case. Raises AssertionError where the two sides do not give the same result."""
    return [_measure_case(case, device, repeats) for case in CASES]


def _measure_case(case: Case, device: torch.device, repeats: int) -> Row:
    image, prob, box_mask = (tensor.to(device) for tensor in make_inputs(case.batch, case.side))
    baseline, product = (
        partial(function, image, prob, box_mask, kernel_size=case.kernel_size, num_iter=case.num_iter)
        for function in (unfold_mean_field, mean_field)
    )
    assert_same_result(baseline(), product())
    return Row(case.name, compare(baseline, product, repeats=repeats, device=device))


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


def assert_same_result(baseline: Tensor, product: Tensor) -> None:
    """Equal up to the rounding that iterations may amplify: 2e-3 on 99.9 % of the pixels, as are 0.5's two sides."""
    close = (baseline - product).abs() < 2e-3
    same_side = (baseline > 0.5) == (product > 0.5)
    assert close.float().mean() >= 0.999, f"only {close.float().mean():.4%} of the pixels agree"
    assert same_side.float().mean() >= 0.999, f"only {same_side.float().mean():.4%} of the mask agrees"
