"""How much of labelling is the network, and how much faster is it than the plain pipeline?"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from benchmarks.baselines.plain_labeling import MARGIN_RATE, plain_labels
from benchmarks.photos_with_boxes import photos_with_boxes
from benchmarks.timing import seconds_in_turn
from mal.config.schema import ExperimentSpec
from mal.console import console
from mal.data.label_dataset import CropSettings
from mal.data.loaders import AnnotatedImages, crop_loader
from mal.labeler import MaskAutoLabeler
from mal.labeling.pipeline import compute_labels, crop_batches
from mal.masks.rle import Rle, mask_from_rle
from mal.metrics.evaluator import Evaluator
from mal.metrics.iou import mask_iou
from mal.models.from_spec import build_mal_network
from mal.models.inputs import network_inputs
from mal.models.network import MaskNetwork
from mal.models.prediction_mode import PredictionMode
from mal.runtime.process_group import ProcessGroup

QUESTION = "Labelling photos: a plain pipeline, box by box (baseline), against what `mal inference` and `mal label` do"
CROP_SIZE = 512
THRESHOLD = 0.5  # random weights give probabilities around it, so that masks are ragged
FORWARD, BASELINE = "network alone", "baseline"
NO_NETWORK = "no network"


@dataclass(frozen=True)
class Case:
    """What is labelled, and how.

    Attributes:
        arch: of the network; :data:`NO_NETWORK` takes one that costs nothing, so that everything else is seen alone.
        num_boxes: how many boxes.
        batch_size: boxes that the network sees at once.
        baseline_workers: loader processes of the baseline.
        num_workers: loader processes of the product, one row each.
        evaluates: measure evaluation too.
    """

    arch: str
    num_boxes: int
    batch_size: int
    baseline_workers: int
    num_workers: tuple[int, ...]
    evaluates: bool = False


CPU_CASES = (
    Case("vit-deit-tiny/16", 12, 4, 0, (0, 1, 2, 4), evaluates=True),
    Case("vit-mae-base/16", 4, 4, 0, (0,)),
    Case(NO_NETWORK, 100, 4, 0, (0, 1, 2, 4), evaluates=True),
)
GPU_CASES = (
    Case("vit-deit-tiny/16", 700, 32, 4, (0, 1, 2, 4, 8), evaluates=True),
    Case("vit-mae-base/16", 700, 32, 4, (4, 8)),
    Case(NO_NETWORK, 700, 32, 4, (0, 4, 8)),
)


@dataclass(frozen=True)
class LabelingRow:
    """Seconds of each side for the same boxes; run i of all sides happened next to each other."""

    name: str
    num_boxes: int
    forward: tuple[float, ...]
    baseline: tuple[float, ...]
    product: tuple[float, ...]

    note: ClassVar[str] = (
        "Boxes per second, median (range) of interleaved runs. Overhead: time beyond that of the network alone, as a"
        " part of it; it and the ratio run by run."
    )
    columns: ClassVar[tuple[str, ...]] = (
        "case",
        FORWARD,
        BASELINE,
        "product",
        "times faster",
        "baseline's overhead",
        "product's overhead",
    )

    def as_markdown(self) -> str:
        """One line of the table."""
        ratios = [slow / fast for slow, fast in zip(self.baseline, self.product, strict=True)]
        cells = [self.name, *(self._rates(side) for side in (self.forward, self.baseline, self.product))]
        cells += [_with_range(ratios, "{:.2f} ×"), self._overhead(self.baseline), self._overhead(self.product)]
        return f"| {' | '.join(cells)} |"

    def as_json(self) -> dict[str, Any]:
        """Every single time in seconds."""
        sides = {"forward": self.forward, "baseline": self.baseline, "product": self.product}
        return {"name": self.name, "boxes": self.num_boxes} | {f"{key}_seconds": side for key, side in sides.items()}

    def _rates(self, seconds: tuple[float, ...]) -> str:
        return _with_range([self.num_boxes / each for each in seconds], "{:.2f}") if seconds else "-"

    def _overhead(self, seconds: tuple[float, ...]) -> str:
        parts = [100 * (whole / alone - 1) for whole, alone in zip(seconds, self.forward, strict=False)]
        return _with_range(parts, "{:.1f} %") if parts else "-"


class NoNetwork(nn.Module):
    """Takes the place of a network and gives each box the same blot."""

    def __init__(self) -> None:
        super().__init__()
        noise = torch.randn(1, 1, 12, 12, generator=torch.Generator().manual_seed(0))
        self.register_buffer("logits", nn.functional.interpolate(noise, size=(128, 128), mode="bicubic"))

    def forward(self, images: Tensor, box_area: Tensor) -> Tensor:
        """(B, 1, 128, 128) logits."""
        logits: Tensor = self.get_buffer("logits")
        return logits.expand(len(images), -1, -1, -1)


def network_of(arch: str) -> MaskNetwork:
    """A network with random weights, the same every time."""
    if arch == NO_NETWORK:
        return cast(MaskNetwork, NoNetwork())
    torch.manual_seed(0)
    return build_mal_network(ExperimentSpec.model_validate({"model": {"arch": arch}}), "patch")


def labeler_with(network: MaskNetwork, device: torch.device, crop_size: int = CROP_SIZE) -> MaskAutoLabeler:
    """A labeler that asks this network."""
    crop = CropSettings(crop_size, MARGIN_RATE)
    return MaskAutoLabeler(
        network,
        network,
        crop=crop,
        thresholds=[THRESHOLD],
        mode=PredictionMode(),
        device=device,
    )


def measure(device: torch.device, *, repeats: int) -> list[LabelingRow]:
    """Rows of each network. Raises AssertionError where both pipelines do not give the same masks."""
    with tempfile.TemporaryDirectory() as folder, _nothing_on_the_terminal():
        cases = CPU_CASES if device.type == "cpu" else GPU_CASES
        return [row for case in cases for row in _measure_case(case, device, repeats, Path(folder))]


def _measure_case(case: Case, device: torch.device, repeats: int, folder: Path) -> list[LabelingRow]:
    source = photos_with_boxes(folder, case.num_boxes)
    labeler = labeler_with(network_of(case.arch), device)
    baseline = partial(baseline_labels, source, labeler, case.batch_size, case.baseline_workers)
    sides: dict[str, Callable[[], object]] = {BASELINE: baseline}
    if case.arch != NO_NETWORK:
        sides[FORWARD] = partial(_forward, labeler, _batches(source, labeler, case.batch_size))
    for count in case.num_workers:
        sides[f"labelling, {count} workers"] = partial(product_labels, source, labeler, case.batch_size, count)
    if case.evaluates:
        sides["evaluation, 0 workers"] = partial(_evaluate, source, labeler, case.batch_size)
    assert_same_masks(baseline(), product_labels(source, labeler, case.batch_size, 0))
    seconds = seconds_in_turn(sides, repeats=repeats, device=device)
    forward, plain = seconds.pop(FORWARD, ()), seconds.pop(BASELINE)
    number = len(source.boxes_to_label)
    return [LabelingRow(f"{case.arch}, {name}", number, forward, plain, each) for name, each in seconds.items()]


def product_labels(source: AnnotatedImages, labeler: MaskAutoLabeler, batch_size: int, workers: int) -> dict[int, Rle]:
    """Masks of all boxes by position, as the product makes them."""
    labels = compute_labels(source, labeler, batch_size=batch_size, num_workers=workers)
    return {position: label.rle for position, label in labels.items()}


def baseline_labels(source: AnnotatedImages, labeler: MaskAutoLabeler, batch_size: int, workers: int) -> dict[int, Rle]:
    """Masks of all boxes by position, as the plain pipeline makes them."""
    return plain_labels(
        source.boxes_to_label,
        source.img_dir,
        cast(MaskNetwork, labeler.student),
        crop_size=labeler.crop.crop_size,
        threshold=THRESHOLD,
        batch_size=batch_size,
        num_workers=workers,
        device=torch.device(labeler.device),
    )


def assert_same_masks(baseline: dict[int, Rle], product: dict[int, Rle]) -> None:
    """The same boxes, and masks with an IoU of at least 0.9999, or all but one pixel where that is more."""
    assert baseline.keys() == product.keys(), f"{len(baseline)} boxes against {len(product)}"
    for position, rle in baseline.items():
        if mask_iou(rle, product[position]) < 0.9999:
            differing = (mask_from_rle(rle) != mask_from_rle(product[position])).sum()
            assert differing <= 1, f"{differing} pixels of the mask of annotations[{position}] differ"


def _evaluate(source: AnnotatedImages, labeler: MaskAutoLabeler, batch_size: int) -> None:
    evaluator = Evaluator(source.coco, source.boxes_to_label, [THRESHOLD])
    batches = crop_batches(source, labeler, _alone(labeler), name="", batch_size=batch_size, num_workers=0)
    for batch in batches:
        evaluator.update(batch, torch.from_numpy(labeler.probabilities(batch)))
    evaluator.compute()


def _batches(source: AnnotatedImages, labeler: MaskAutoLabeler, batch_size: int) -> list[tuple[Tensor, Tensor]]:
    """What the network gets, on its device."""
    boxes = source.boxes_to_label
    loader = crop_loader(boxes, source.img_dir, labeler.crop, batch_size=batch_size, num_workers=0)
    inputs = [network_inputs(batch, labeler.device) for batch in loader]
    return [(each.images, each.box_area) for each in inputs]


@torch.inference_mode()
def _forward(labeler: MaskAutoLabeler, batches: list[tuple[Tensor, Tensor]]) -> None:
    for images, box_area in batches:
        cast(MaskNetwork, labeler.student)(images, box_area)


def _alone(labeler: MaskAutoLabeler) -> ProcessGroup:
    return ProcessGroup(rank=0, world_size=1, device=labeler.device, autocast_dtype=None)


@contextmanager
def _nothing_on_the_terminal() -> Iterator[None]:
    console.quiet = True
    try:
        yield
    finally:
        console.quiet = False


def _with_range(values: list[float], form: str) -> str:
    return f"{form.format(median(values))} ({form.format(min(values))} to {form.format(max(values))})"
