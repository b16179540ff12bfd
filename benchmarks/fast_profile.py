"""How much faster is a network in the profile ``fast``? On random weights; less_arithmetic.py tells what it costs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.report import Row
from benchmarks.timing import compare
from mal.config.schema import ExperimentSpec
from mal.models.from_spec import build_mal_network
from mal.models.network import MaskNetwork
from mal.models.predict import fast_dtype, fast_network

QUESTION = "Labelling, the network alone: profile exact (baseline) against fast"


@dataclass(frozen=True)
class Case:
    arch: str
    crop_size: int
    batch: int

    @property
    def name(self) -> str:
        return f"{self.arch}, {self.batch} × {self.crop_size}²"


CASES = (Case("vit-deit-tiny/16", 128, 12), Case("vit-deit-tiny/16", 512, 3), Case("vit-mae-base/16", 512, 3))


def measure(device: torch.device, *, repeats: int) -> list[Row]:
    """One row a case; a third of each batch is of small boxes, a third of medium and a third of large ones."""
    return [_measure_case(case, device, repeats) for case in CASES]


def _measure_case(case: Case, device: torch.device, repeats: int) -> Row:
    torch.manual_seed(0)
    spec = ExperimentSpec.model_validate({"model": {"arch": case.arch}})
    exact = build_mal_network(spec, "patch").eval().to(device)
    fast = fast_network(exact)
    images = torch.randn(case.batch, 3, case.crop_size, case.crop_size, device=device)
    areas = torch.tensor([500.0, 5000, 50000], device=device).repeat_interleave(case.batch // 3)

    def run(network: MaskNetwork, dtype: torch.dtype | None) -> Tensor:
        with torch.inference_mode(), torch.autocast(device.type, dtype, enabled=dtype is not None):
            return network(images, areas)

    times = compare(lambda: run(exact, None), lambda: run(fast, fast_dtype(device)), repeats=repeats, device=device)
    return Row(case.name, times)
