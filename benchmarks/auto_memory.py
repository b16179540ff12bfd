"""How much memory does `mal auto` take, its loaders and labeling processes included?"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch

from benchmarks.photos_with_boxes import SHARED, photos_with_boxes

QUESTION = "Memory of mal auto: all of its processes together"
NUM_BOXES = 300
MINUTES = (0, 1)  # of training
EVERY_S = 0.2


@dataclass(frozen=True)
class AutoMemoryRow:
    """Bytes that the processes of one run had together at most."""

    name: str
    minutes: float
    most: int

    note: ClassVar[str] = (
        "Sum over processes of the memory that each has for itself and its share of what they have in common (PSS),"
        f" read every {EVERY_S} s; its peak."
    )
    columns: ClassVar[tuple[str, ...]] = ("boxes", "minutes of training", "peak, MiB")

    def as_markdown(self) -> str:
        """One line of the table."""
        return f"| {self.name} | {self.minutes:g} | {self.most / 1024**2:.0f} |"

    def as_json(self) -> dict[str, Any]:
        """The peak in bytes."""
        return {"name": self.name, "minutes": self.minutes, "peak_bytes": self.most}


def measure(device: torch.device, *, repeats: int) -> list[AutoMemoryRow]:
    """A row for labeling alone and one for training; none beside a GPU, nor where the system has no /proc."""
    if device.type != "cpu" or not Path("/proc/self/smaps_rollup").exists():
        return []
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, ann, images in _sources(Path(folder)):
            for minutes in MINUTES:
                out = Path(folder) / f"{name}_{minutes}"
                command = ["auto", str(ann), "--images", str(images), "--out", str(out), "--minutes", str(minutes)]
                rows.append(AutoMemoryRow(name, minutes, peak_of(command)))
    return rows


def _sources(folder: Path) -> list[tuple[str, Path, Path]]:
    photos = photos_with_boxes(folder, NUM_BOXES)
    sources = [(f"{NUM_BOXES} of small photos", folder / "some_boxes.json", Path(photos.img_dir))]
    nuts = SHARED / "data" / "nuts"
    if nuts.is_dir():
        sources.append(("nuts", nuts / "annotations" / "boxes_train.json", nuts / "images" / "train"))
    return sources


def peak_of(arguments: Sequence[str]) -> int:
    """Run `mal`, and return the most bytes that it and its children had at one time.

    Raises:
        RuntimeError: the command failed.
    """
    with tempfile.TemporaryFile("w+") as text:
        process = subprocess.Popen([sys.executable, "-m", "mal", *arguments], stdout=text, stderr=text)
        most = 0
        while process.poll() is None:
            most = max(most, sum(map(_proportional_bytes, _family(process.pid))))
            time.sleep(EVERY_S)
        text.seek(0)
        if process.returncode:
            raise RuntimeError(f"mal {' '.join(arguments)} failed:\n{text.read()}")
    return most


def _family(pid: int) -> list[int]:
    """A process and all that come from it; those that end meanwhile are left out."""
    found = [pid]
    for parent in found:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            found += map(int, _read(children).split())
    return found


def _proportional_bytes(pid: int) -> int:
    for line in _read(Path(f"/proc/{pid}/smaps_rollup")).splitlines():
        if line.startswith("Pss:"):
            return 1024 * int(line.split()[1])
    return 0


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (FileNotFoundError, ProcessLookupError):
        return ""
