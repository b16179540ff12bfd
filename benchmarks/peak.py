"""How near does the network's arithmetic come to what the machine can do at all?"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.timing import measure_seconds
from mal.config.schema import ExperimentSpec
from mal.models.from_spec import build_mal_network
from mal.models.network import MaskNetwork

QUESTION = "Share of the machine's peak: a large matrix product (baseline) against the network's forward pass"
MATRIX_SIDE = {"cpu": 2048, "cuda": 8192}
CROP_SIZE = 512
CASES = {"vit-deit-tiny/16": 2, "vit-mae-base/16": 1}  # by name: crops in a batch


@dataclass(frozen=True)
class ShareRow:
    """Operations a second of both sides, run by run."""

    name: str
    flops: int
    peak: tuple[float, ...]
    reached: tuple[float, ...]

    note: ClassVar[str] = "Medians of interleaved runs; multiply and add count as two."
    columns: ClassVar[tuple[str, ...]] = ("case", "GFLOP", "peak, GFLOP/s", "reached, GFLOP/s", "share")

    @property
    def share(self) -> float:
        """Of the peak, 0..1."""
        return median(ours / peak for ours, peak in zip(self.reached, self.peak, strict=True))

    def as_markdown(self) -> str:
        """One line of the table."""
        peak, reached = median(self.peak) / 1e9, median(self.reached) / 1e9
        return f"| {self.name} | {self.flops / 1e9:.1f} | {peak:.0f} | {reached:.0f} | {self.share:.0%} |"

    def as_json(self) -> dict[str, Any]:
        """Every single rate, and the share."""
        return {"name": self.name, "flops": self.flops, "peak": self.peak, "reached": self.reached, "share": self.share}


def measure(device: torch.device, *, repeats: int) -> list[ShareRow]:
    """One row a network, in float32 on a CPU and in bfloat16 on a GPU."""
    return [_measure_network(arch, batch, device, repeats) for arch, batch in CASES.items()]


def _measure_network(arch: str, batch: int, device: torch.device, repeats: int) -> ShareRow:
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    network = build_mal_network(ExperimentSpec.model_validate({"model": {"arch": arch}}), "patch").to(device).eval()
    images = torch.randn(batch, 3, CROP_SIZE, CROP_SIZE, device=device)
    box_area = torch.full((batch,), 100.0**2, device=device)
    side = MATRIX_SIDE[device.type]
    matrix = torch.randn(side, side, device=device, dtype=dtype)

    @torch.inference_mode()
    def forward() -> Tensor:
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            return network(images, box_area)

    flops = count_flops(network, images, box_area)
    peak, reached = [], []
    for product in (lambda: matrix @ matrix, forward):
        product()
    for _ in range(repeats):
        peak.append(2 * side**3 / measure_seconds(lambda: matrix @ matrix, device))
        reached.append(flops / measure_seconds(forward, device))
    return ShareRow(f"{arch}, {batch} × {CROP_SIZE}²", flops, tuple(peak), tuple(reached))


@torch.inference_mode()
def count_flops(network: MaskNetwork, images: Tensor, box_area: Tensor) -> int:
    """Operations of a forward pass, those of matrix products and convolutions."""
    with FlopCounterMode(display=False) as counter:
        network(images, box_area)
    return counter.get_total_flops()
