"""Is there anything in a training step but the networks' arithmetic, and how much faster is it than the plain step?"""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, ClassVar

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from benchmarks.baselines.plain_training import MARGIN_RATE, PlainTrainingStep, plain_sample
from benchmarks.photos_with_boxes import photos_with_boxes
from benchmarks.timing import measure_seconds
from mal.coco.boxes import Boxes
from mal.config.schema import ExperimentSpec
from mal.data.train_dataset import BoxCropDataset, TrainBatch, collate, train_loader
from mal.models.ema import make_teacher
from mal.models.fpn_network import AnyMaskNetwork
from mal.models.from_spec import build_mal_network
from mal.models.inputs import normalize
from mal.runtime.devices import choose_precision
from mal.training.callbacks import StepSeeds, total_grad_norm
from mal.training.module import MalModule, RunSize

QUESTION = "Training step: the plain one (baseline) against ours, and ours against the networks' arithmetic alone"
CROP_SIZE = 512
SEED = 0
MEDIUM, LARGE = 50.0**2, 150.0**2  # areas; both sides of a batch are half of each, whatever the photos hold


@dataclass(frozen=True)
class Case:
    """A network, its batch, and the precision of the product; the baseline is always float32 on a CPU."""

    arch: str
    batch: int
    precision: str

    @property
    def name(self) -> str:
        return f"{self.arch}, {self.batch} × {CROP_SIZE}², {self.precision}"


@dataclass(frozen=True)
class StepRow:
    """Seconds of each step: the plain one, ours, and forward and backward passes alone in the same precision."""

    name: str
    baseline: tuple[float, ...]
    product: tuple[float, ...]
    arithmetic: tuple[float, ...]

    note: ClassVar[str] = "Medians of interleaved steps; ratios step by step, with their range."
    columns: ClassVar[tuple[str, ...]] = (
        "case", "baseline, ms", "product, ms", "arithmetic, ms", "times faster", "product beyond its arithmetic",
    )  # fmt: skip

    def as_markdown(self) -> str:
        """One line of the table."""
        faster = [slow / fast for slow, fast in zip(self.baseline, self.product, strict=True)]
        beyond = [whole / part - 1 for whole, part in zip(self.product, self.arithmetic, strict=True)]
        cells = [f"{1000 * median(side):.0f}" for side in (self.baseline, self.product, self.arithmetic)]
        ratio = f"{median(faster):.2f} × ({min(faster):.2f} to {max(faster):.2f})"
        share = f"{median(beyond):.1%} ({min(beyond):.1%} to {max(beyond):.1%})"
        return f"| {' | '.join([self.name, *cells, ratio, share])} |"

    def as_json(self) -> dict[str, Any]:
        """Every single time in seconds."""
        return {
            "name": self.name,
            "baseline_seconds": self.baseline,
            "product_seconds": self.product,
            "arithmetic_seconds": self.arithmetic,
        }


def measure(device: torch.device, *, repeats: int) -> list[StepRow]:
    """One row a case: the small network in float32 and in the precision that ``train.use_amp`` chooses."""
    if device.type == "cuda":
        cases = [Case("vit-mae-base/16", 4, choose_precision("gpu"))]
    else:
        cases = [Case("vit-deit-tiny/16", 2, precision) for precision in sorted({"32-true", choose_precision("cpu")})]
    return [_measure_case(case, device, repeats) for case in cases]


def _measure_case(case: Case, device: torch.device, repeats: int) -> StepRow:
    with tempfile.TemporaryDirectory() as folder:
        photos = photos_with_boxes(Path(folder), case.batch * (repeats + 2))
        side_by_side = SideBySide(case, photos.boxes_to_label, photos.img_dir, device)
        side_by_side.run(repeats)
    return side_by_side.row()


class SideBySide(Callback):
    """Our training by its trainer; after each of its steps come one of the baseline and the arithmetic alone."""

    def __init__(self, case: Case, boxes: Boxes, img_dir: Path, device: torch.device) -> None:
        self._case, self._device = case, device
        spec = ExperimentSpec.model_validate({"model": {"arch": case.arch}, "train": {"batch_size": case.batch}})
        torch.manual_seed(SEED)
        student = build_mal_network(spec, "patch")
        self._baseline = PlainTrainingStep(build_mal_network(spec, "patch").to(device).train())
        self._module = MalModule(student, make_teacher(student), spec, RunSize(len(boxes) // case.batch, 1))
        self._samples = SizedBoxes(
            boxes, img_dir, crop_size=CROP_SIZE, margin_rate=MARGIN_RATE, border="wrap", seed=SEED
        )
        self._plain = partial(_plain_batch, boxes, img_dir, case.batch)
        self._seconds: dict[str, list[float]] = {"baseline": [], "product": [], "arithmetic": []}
        self._start = 0.0

    def run(self, repeats: int) -> None:
        """Train for ``repeats`` steps after an unmeasured one."""
        loader = train_loader(
            self._samples, batch_size=self._case.batch, num_workers=0, rank=0, world_size=1, pin_memory=False
        )
        trainer = Trainer(
            accelerator=self._device.type if self._device.type == "cpu" else "gpu",
            devices=1,
            precision=self._case.precision,  # type: ignore[arg-type]  # a plain string here
            max_steps=repeats + 1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            callbacks=[StepSeeds(self._samples), GradientNorm(), self],
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer.fit(self._module, loader)

    def row(self) -> StepRow:
        """What was found, without the first step."""
        baseline, product, arithmetic = (tuple(values[1:]) for values in self._seconds.values())
        return StepRow(self._case.name, baseline, product, arithmetic)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The first step begins."""
        self._start = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: TrainBatch, batch_idx: int
    ) -> None:
        """A step ends, the reading of its batch counted in; measure the others before the next begins."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        self._seconds["product"].append(time.perf_counter() - self._start)
        others: dict[str, Callable[[], object]] = {
            "baseline": lambda: self._baseline(self._plain(batch_idx).to(self._device)),
            "arithmetic": partial(_arithmetic, self._module, batch, trainer.precision_plugin.forward_context),
        }
        for name in others if batch_idx % 2 else reversed(others):
            self._seconds[name].append(measure_seconds(others[name], self._device))
        self._start = time.perf_counter()


class GradientNorm(Callback):
    """What ``mal.training.callbacks`` computes in every step."""

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
        """The length of the gradient, looked at."""
        bool(torch.isfinite(total_grad_norm([each for group in optimizer.param_groups for each in group["params"]])))


class SizedBoxes(BoxCropDataset):
    """Samples whose areas are medium and large in turn, so that both sides and all steps cost the same."""

    def __getitems__(self, keys: Any) -> Any:
        return [sized(self[key], place) for place, key in enumerate(keys)]


def sized(sample: TrainBatch, place: int) -> TrainBatch:
    """The same sample under another area: medium for even places of a batch, large for odd ones."""
    sample.box_area.fill_(LARGE if place % 2 else MEDIUM)
    return sample


def _plain_batch(boxes: Boxes, img_dir: Path, batch: int, step: int) -> TrainBatch:
    samples = []
    for place in range(batch):
        index = (step * batch + place) % len(boxes)
        rng = np.random.default_rng([SEED, 0, index])
        samples.append(sized(plain_sample(boxes[index], img_dir, CROP_SIZE, rng), place))
    joined = collate(samples)
    assert isinstance(joined, TrainBatch)
    return joined


def _arithmetic(module: MalModule, batch: TrainBatch, autocast: Callable[[], AbstractContextManager[Any]]) -> None:
    images, teacher_images = normalize(batch.student_images), normalize(batch.teacher_images)
    with autocast():
        logits = module.student(images, batch.box_area)
        _teacher_forward(module.teacher, teacher_images, batch.box_area)
    logits.backward(torch.full_like(logits, 1e-6))
    for parameter in module.student.parameters():
        parameter.grad = None


@torch.no_grad()
def _teacher_forward(teacher: AnyMaskNetwork, images: Tensor, box_area: Tensor) -> Tensor:
    return teacher(images, box_area)
