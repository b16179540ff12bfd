"""What a benchmark found, as a Markdown table and as JSON, with the machine that it was found on."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, ClassVar, Protocol

import torch

from benchmarks.timing import Comparison


class TableRow(Protocol):
    """A line of a table."""

    note: ClassVar[str]
    columns: ClassVar[Sequence[str]]

    def as_markdown(self) -> str:
        """The line."""

    def as_json(self) -> dict[str, Any]:
        """Every single figure."""


@dataclass(frozen=True)
class Row:
    """Times of both sides."""

    name: str
    times: Comparison

    note: ClassVar[str] = "Median (range) of interleaved runs; ratio pair by pair."
    columns: ClassVar[Sequence[str]] = ("case", "baseline, ms", "product, ms", "times faster")

    def as_markdown(self) -> str:
        """One line of the table: median and range of each side in milliseconds, and the ratio."""
        low, high = min(self.times.ratios), max(self.times.ratios)
        cells = [
            self.name,
            _milliseconds(self.times.baseline),
            _milliseconds(self.times.product),
            f"{self.times.ratio:.1f} × ({low:.1f} to {high:.1f})",
        ]
        return f"| {' | '.join(cells)} |"

    def as_json(self) -> dict[str, Any]:
        """Every single time in seconds, and the ratio's median."""
        return {
            "name": self.name,
            "baseline_seconds": self.times.baseline,
            "product_seconds": self.times.product,
            "ratio": self.times.ratio,
        }


@dataclass(frozen=True)
class MemoryRow:
    """Peak memory of each process of both sides, in bytes."""

    name: str
    baseline: tuple[int, ...]
    product: tuple[int, ...]

    note: ClassVar[str] = "Peak memory, median (range) of processes of their own; ratio of the medians."
    columns: ClassVar[Sequence[str]] = ("case", "baseline, MiB", "product, MiB", "times less")

    @property
    def ratio(self) -> float:
        """How many times less memory the product takes."""
        return median(self.baseline) / median(self.product)

    def as_markdown(self) -> str:
        """One line of the table."""
        return f"| {self.name} | {_mebibytes(self.baseline)} | {_mebibytes(self.product)} | {self.ratio:.2f} × |"

    def as_json(self) -> dict[str, Any]:
        """Every single peak, and the ratio."""
        return {
            "name": self.name,
            "baseline_bytes": self.baseline,
            "product_bytes": self.product,
            "ratio": self.ratio,
        }


def markdown_table(question: str, device: torch.device, rows: Sequence[TableRow]) -> str:
    """A heading and a table of all rows."""
    return "\n".join(
        [
            f"## {question}",
            "",
            f"On {device_name(device)}. {rows[0].note}",
            "",
            f"| {' | '.join(rows[0].columns)} |",
            f"| {' | '.join('---' for _ in rows[0].columns)} |",
            *(row.as_markdown() for row in rows),
        ]
    )


def device_name(device: torch.device) -> str:
    """The processor's or the GPU's name, as its maker spells it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{_cpu_name()}, {torch.get_num_threads()} threads"


def environment() -> dict[str, str]:
    """What the numbers depend on: system, versions, commit."""
    return {
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda or "none",
        "mal": _mal_version(),
    }


def _milliseconds(seconds: tuple[float, ...]) -> str:
    middle, low, high = (1000 * value for value in (median(seconds), min(seconds), max(seconds)))
    digits = 0 if middle >= 100 else 1 if middle >= 10 else 2
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def _mebibytes(peaks: tuple[int, ...]) -> str:
    middle, low, high = (value / 1024**2 for value in (median(peaks), min(peaks), max(peaks)))
    return f"{middle:.0f} ({low:.0f} to {high:.0f})"


def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _mal_version() -> str:
    import mal

    command = ["git", "describe", "--always", "--dirty"]
    folder = Path(__file__).parent
    described = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout.strip()
    return f"{mal.__version__} ({described})" if described else mal.__version__
