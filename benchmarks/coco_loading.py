"""How long does it take to load a COCO file, and in how much memory, against pycocotools?"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, ClassVar

import torch

from benchmarks.coco_files import TRAIN2017, write_coco_file
from benchmarks.coco_load_once import SIDES
from benchmarks.timing import Comparison

QUESTION = "Loading a COCO file with polygons: pycocotools (baseline) against what `mal inference` and `mal label` do"
SIZES = (TRAIN2017 // 10, TRAIN2017)
MOST_REPEATS = 3  # the large file keeps pycocotools busy for a while


@dataclass(frozen=True)
class LoadingRow:
    """Seconds of both sides, and the peak memory of their processes in bytes."""

    name: str
    times: Comparison
    memory: Comparison

    note: ClassVar[str] = "Median (range) of interleaved processes; ratios pair by pair."
    columns: ClassVar[tuple[str, ...]] = (
        "case",
        "baseline, s",
        "product, s",
        "times faster",
        "baseline, MiB",
        "product, MiB",
        "times less",
    )

    def as_markdown(self) -> str:
        """One line of the table."""
        cells = [self.name]
        for found, unit in ((self.times, 1.0), (self.memory, 1024.0**2)):
            cells += [_with_range(found.baseline, unit), _with_range(found.product, unit)]
            cells += [f"{_with_range(found.ratios, 1.0, sign=' ×')}"]
        return f"| {' | '.join(cells)} |"

    def as_json(self) -> dict[str, Any]:
        """Every single figure, and the ratios' medians."""
        return {
            "name": self.name,
            "baseline_seconds": self.times.baseline,
            "product_seconds": self.times.product,
            "ratio": self.times.ratio,
            "baseline_bytes": self.memory.baseline,
            "product_bytes": self.memory.product,
            "memory_ratio": self.memory.ratio,
        }


def measure(device: torch.device, *, repeats: int) -> list[LoadingRow]:
    """One row a size of the file; none for a GPU, where nothing of this happens."""
    return [_measure_size(size, min(repeats, MOST_REPEATS)) for size in SIZES if device.type == "cpu"]


def _measure_size(num_annotations: int, repeats: int) -> LoadingRow:
    found: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "annotations.json"
        write_coco_file(path, num_annotations=num_annotations)
        megabytes = path.stat().st_size / 1e6
        for pair in range(repeats):
            for side in list(SIDES) if pair % 2 == 0 else list(reversed(SIDES)):
                command = [sys.executable, "-m", "benchmarks.coco_load_once", side, str(path)]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                found[side].append(json.loads(done.stdout.splitlines()[-1]))
    baseline, product = found["baseline"], found["product"]
    assert {run["annotations"] for run in (*baseline, *product)} == {num_annotations}
    times, memory = (
        Comparison(tuple(run[key] for run in baseline), tuple(run[key] for run in product))
        for key in ("seconds", "peak_bytes")
    )
    return LoadingRow(f"{num_annotations:,} annotations, {megabytes:.0f} MB", times, memory)


def _with_range(values: tuple[float, ...], unit: float, sign: str = "") -> str:
    middle, low, high = (value / unit for value in (median(values), min(values), max(values)))
    digits = 0 if middle >= 100 else 1
    return f"{middle:.{digits}f}{sign} ({low:.{digits}f} to {high:.{digits}f})"
