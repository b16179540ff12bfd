"""How many training samples a second does one loader process read, cut and colour, with one thread?"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, ClassVar

import numpy as np
import torch

from benchmarks.baselines.plain_training import MARGIN_RATE, plain_sample
from benchmarks.photos_with_boxes import photos_with_boxes
from benchmarks.timing import Comparison
from mal.coco.boxes import Boxes
from mal.data.train_dataset import BoxCropDataset, TrainBatch

QUESTION = "Training samples a second of one loader process: each by itself with Pillow (baseline) against ours"
NUM_BOXES = 120
CROP_SIZE = 512
SEED = 0


@dataclass(frozen=True)
class RateRow:
    """Times of both sides for so many samples."""

    name: str
    num_samples: int
    times: Comparison

    note: ClassVar[str] = "Medians (ranges) of interleaved passes over the same boxes, by processor time of one thread."
    columns: ClassVar[tuple[str, ...]] = ("case", "baseline, samples/s", "product, samples/s", "times faster")

    def as_markdown(self) -> str:
        """One line of the table."""
        rates = (self._rates(self.times.baseline), self._rates(self.times.product))
        return f"| {self.name} | {rates[0]} | {rates[1]} | {self.times.ratio:.1f} × |"

    def as_json(self) -> dict[str, Any]:
        """Every single time in seconds, and the ratio's median."""
        return {
            "name": self.name,
            "num_samples": self.num_samples,
            "baseline_seconds": self.times.baseline,
            "product_seconds": self.times.product,
            "ratio": self.times.ratio,
        }

    def _rates(self, seconds: tuple[float, ...]) -> str:
        rates = [self.num_samples / value for value in seconds]
        return f"{median(rates):.0f} ({min(rates):.0f} to {max(rates):.0f})"


def measure(device: torch.device, *, repeats: int) -> list[RateRow]:
    """A row for photos that are seen for the first time, one for photos that the process still holds; CPU only."""
    if device.type != "cpu":
        return []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as folder:
            photos = photos_with_boxes(Path(folder), NUM_BOXES)
            boxes = photos.boxes_to_label
            order = np.random.default_rng(SEED).permutation(len(boxes)).tolist()
            assert_same_samples(boxes, photos.img_dir, order[:20])
            return [
                _measure_cache(name, boxes, photos.img_dir, order, holds, repeats)
                for name, holds in (("every photo decoded for each box", False), ("photos held from box to box", True))
            ]
    finally:
        torch.set_num_threads(threads)


def _measure_cache(name: str, boxes: Boxes, img_dir: Path, order: list[int], holds: bool, repeats: int) -> RateRow:
    samples = train_samples(boxes, img_dir)

    def product() -> None:
        for index in order:
            if not holds:
                samples._cache = None
            samples[0, index]

    def baseline() -> None:
        for index in order:
            _plain(boxes, img_dir, index)

    product()
    seconds = [(_cpu_seconds(baseline), _cpu_seconds(product)) for _ in range(repeats)]
    slow, fast = zip(*seconds, strict=True)
    return RateRow(f"crop {CROP_SIZE}, {name}", len(order), Comparison(slow, fast))


def train_samples(boxes: Boxes, img_dir: Path) -> BoxCropDataset:
    """The product's samples of some boxes."""
    return BoxCropDataset(boxes, img_dir, crop_size=CROP_SIZE, margin_rate=MARGIN_RATE, border="wrap", seed=SEED)


def assert_same_samples(boxes: Boxes, img_dir: Path, indices: Iterable[int]) -> None:
    """Both sides give the same bytes."""
    samples = train_samples(boxes, img_dir)
    for index in indices:
        ours, plain = samples[0, index], _plain(boxes, img_dir, index)
        for field in ("student_images", "teacher_images", "box_mask", "box_area", "positions"):
            assert torch.equal(getattr(ours, field), getattr(plain, field)), f"{field} of box {index} differ"


def _plain(boxes: Boxes, img_dir: Path, index: int) -> TrainBatch:
    return plain_sample(boxes[index], img_dir, CROP_SIZE, np.random.default_rng([SEED, 0, index]))


def _cpu_seconds(function: Callable[[], None]) -> float:
    """Time of this thread alone: a loader process with a core to itself, whatever else the machine does."""
    start = time.thread_time()
    function()
    return time.thread_time() - start
