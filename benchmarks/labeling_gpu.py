"""How many boxes a second does a GPU label, from the files of the photos to encoded masks?"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, ClassVar

import torch

from benchmarks.labeling import labeler_with, network_of
from benchmarks.photos_with_boxes import photos_with_boxes
from benchmarks.timing import measure_seconds
from mal.console import console
from mal.data.loaders import AnnotatedImages
from mal.labeler import MaskAutoLabeler
from mal.labeling.pipeline import compute_labels

QUESTION = "Boxes a second of `mal label` on a GPU"
BOXES = 700
BATCH_SIZE = 32
NUM_WORKERS = (0, 4, 8)
LARGE = "vit-mae-base/16"


@dataclass(frozen=True)
class RateRow:
    """Seconds of each run over the same boxes."""

    name: str
    num_boxes: int
    seconds: tuple[float, ...]

    note: ClassVar[str] = "Median (range), reading, scoring and encoding included."
    columns: ClassVar[tuple[str, ...]] = ("case", "boxes a second")

    def as_markdown(self) -> str:
        """One line of the table."""
        middle, slow, fast = (
            self.num_boxes / each for each in (median(self.seconds), max(self.seconds), min(self.seconds))
        )
        return f"| {self.name} | {middle:.0f} ({slow:.0f} to {fast:.0f}) |"

    def as_json(self) -> dict[str, Any]:
        """Every single time."""
        return {"name": self.name, "num_boxes": self.num_boxes, "seconds": self.seconds}


def measure(device: torch.device, *, repeats: int, num_boxes: int = BOXES) -> list[RateRow]:
    """A row for each network and number of workers; none on a CPU, see `benchmarks.labeling_parts`."""
    if device.type == "cpu":
        return []
    console.quiet = True
    with tempfile.TemporaryDirectory() as folder:
        photos = photos_with_boxes(Path(folder), num_boxes)
        labelers = {
            "the starter, crops of 160": MaskAutoLabeler.from_checkpoint(device=device),
            f"{LARGE}, crops of 512, random weights": labeler_with(network_of(LARGE), device),
        }
        return [
            _row(f"{name}, {workers} workers", labeler, photos, workers, device, repeats)
            for name, labeler in labelers.items()
            for workers in NUM_WORKERS
        ]


def _row(
    name: str,
    labeler: MaskAutoLabeler,
    photos: AnnotatedImages,
    workers: int,
    device: torch.device,
    repeats: int,
) -> RateRow:
    def label() -> object:
        return compute_labels(photos, labeler, batch_size=BATCH_SIZE, num_workers=workers)

    seconds = [measure_seconds(label, device) for _ in range(repeats + 1)][1:]  # the first fills caches
    return RateRow(name, len(photos.boxes_to_label), tuple(seconds))
