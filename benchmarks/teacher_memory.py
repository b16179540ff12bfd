"""How much memory does a training step take whose teacher is free, against one that carries it like a second student?

Each side runs in processes of its own: ``python -m benchmarks.teacher_memory ARCH BATCH SIDE DEVICE``.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim import AdamW, Optimizer

from benchmarks.baselines.wasteful_teacher import MOMENTUM, WastefulTeacherStep
from benchmarks.report import MemoryRow
from mal.config.schema import ExperimentSpec
from mal.losses import batch_losses
from mal.models.ema import make_teacher, update_teacher
from mal.models.from_spec import build_mal_network
from mal.models.network import MaskNetwork
from mal.models.prediction_mode import MeanFieldSettings
from mal.runtime.devices import peak_bytes_of_process

QUESTION = "Training step: a teacher with graph and optimiser (baseline) against a free one"
CROP_SIZE = 512
NUM_STEPS = 2  # the optimiser has its state from the first on
MOST_REPEATS = 2  # a peak hardly varies
SETTINGS = MeanFieldSettings(num_iter=5)  # without gradient: iterations cost time, not memory


@dataclass(frozen=True)
class Case:
    arch: str
    batch: int

    @property
    def name(self) -> str:
        return f"{self.arch}, {self.batch} × {CROP_SIZE}²"


CASES = (Case("vit-deit-tiny/16", 2), Case("vit-mae-base/16", 1))


class FreeTeacherStep:
    """The step of ``mal.training.module``, without the trainer around it; use as `WastefulTeacherStep`."""

    def __init__(self, student: MaskNetwork, settings: MeanFieldSettings) -> None:
        self.student = student
        self.teacher = make_teacher(student)
        self.optimizer: Optimizer = AdamW(self.student.parameters(), lr=1e-5)
        self._settings = settings

    def __call__(self, images: Tensor, box_mask: Tensor, box_area: Tensor) -> None:
        student_logits = self.student(images, box_area)
        with torch.no_grad():
            teacher_logits = self.teacher(images, box_area)
        losses = batch_losses(student_logits, teacher_logits, images, box_mask, self._settings)
        (losses.mil + losses.crf).mean().backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        update_teacher(self.teacher, self.student, MOMENTUM)


SIDES: dict[str, type[WastefulTeacherStep] | type[FreeTeacherStep]] = {
    "baseline": WastefulTeacherStep,
    "product": FreeTeacherStep,
}


def measure(device: torch.device, *, repeats: int) -> list[MemoryRow]:
    """One row a case."""
    return [_measure_case(case, device, min(repeats, MOST_REPEATS)) for case in CASES]


def _measure_case(case: Case, device: torch.device, repeats: int) -> MemoryRow:
    found: dict[str, list[int]] = {side: [] for side in SIDES}
    for _ in range(repeats):
        for side in SIDES:
            command = [sys.executable, "-m", "benchmarks.teacher_memory", case.arch, str(case.batch), side, device.type]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found[side].append(int(done.stdout))
    return MemoryRow(case.name, tuple(found["baseline"]), tuple(found["product"]))


def inputs(batch: int, side: int) -> tuple[Tensor, Tensor, Tensor]:
    """Noise, a box in its middle, and the area of a large box: (B, 3, S, S), (B, 1, S, S), (B,)."""
    images = torch.randn(batch, 3, side, side, generator=torch.Generator().manual_seed(0))
    box_mask = torch.zeros(batch, 1, side, side)
    box_mask[:, :, side // 4 : -side // 4, side // 4 : -side // 4] = 1
    return images, box_mask, torch.full((batch,), 10_000.0)


def peak_bytes(case: Case, side: str, device: torch.device) -> int:
    """What networks, gradients, optimiser and activations take at most; without the libraries' own memory."""
    before = peak_bytes_of_process()
    network = build_mal_network(ExperimentSpec.model_validate({"model": {"arch": case.arch}}), "patch").to(device)
    step = SIDES[side](network, SETTINGS)
    batch = [tensor.to(device) for tensor in inputs(case.batch, CROP_SIZE)]
    for _ in range(NUM_STEPS):
        step(*batch)
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else peak_bytes_of_process() - before


if __name__ == "__main__":
    arch, number, name, kind = sys.argv[1:]
    print(peak_bytes(Case(arch, int(number)), name, torch.device(kind)))
