"""Shards: what a labelling run has found out so far, in files that only grow.

A shard is a file of one process in one attempt. Every line is a JSON object; a line for each box of a batch is followed
by one that says how many they are and has their checksum. All lines of a batch are written at once. Where a process was
killed or the power failed, the batch at the end may be torn: it lacks that line, and does not count.
"""

from __future__ import annotations

import json
import os
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from mal.data.json_out import dumps
from mal.files import cannot_write
from mal.labelling.label import Label

SUFFIX = ".jsonl"
SECONDS_BETWEEN_SYNCS = 30.0  # of work that a power cut may cost; a killed process costs none
_END_KEY = b'{"end_of_batch":'


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of one box: either a label or a failure.

    Attributes:
        position: index in the file's ``annotations`` list.
        label: its mask; None where there is none.
        failed: why there is none.
        warned: what is odd about its true mask, where the label was to be compared with it.
    """

    position: int
    label: Label | None = None
    failed: str | None = None
    warned: str | None = None


class ShardWriter:
    """A new shard; a batch that was written outlives the process.

    Args:
        path: the file to make; it must not exist, since what follows a torn batch might not be read.

    Raises:
        UserError: it cannot be made, or later not be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("xb", buffering=0)
        except OSError as error:
            raise cannot_write(path, error) from error
        self._synced = time.monotonic()

    def write(self, findings: Sequence[Finding]) -> None:
        """Add a batch."""
        lines = b"".join(dumps(_as_json(finding)) + b"\n" for finding in findings)
        try:
            left = memoryview(lines + _end_line(lines, len(findings)))
            while left:
                left = left[self._file.write(left) :]
            if time.monotonic() - self._synced > SECONDS_BETWEEN_SYNCS:
                self._sync()
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            if error is None:
                self._sync()
        finally:
            self._file.close()

    def _sync(self) -> None:
        os.fsync(self._file.fileno())
        self._synced = time.monotonic()


def shard_paths(folder: Path) -> list[Path]:
    """The shards of a folder, older attempts first."""
    return sorted(folder.glob(f"*{SUFFIX}"))


def whole_batches(path: Path) -> Iterator[list[tuple[int, bytes]]]:
    """The batches of a shard that are whole: each as its lines, with the place in the file where a line begins."""
    with path.open("rb") as file:
        place = 0
        batch: list[tuple[int, bytes]] = []
        for line in file:
            if line.startswith(_END_KEY):
                if line == _end_line(b"".join(text for _, text in batch), len(batch)):
                    yield batch
                batch = []
            else:
                batch.append((place, line))
            place += len(line)


def finding_of(line: bytes) -> Finding:
    """What a line of a whole batch says."""
    entry = json.loads(line)
    label = Label(entry["rle"], entry.get("iou"), entry.get("score")) if "rle" in entry else None
    return Finding(entry["annotation"], label, entry.get("failed"), entry.get("warned"))


def _as_json(finding: Finding) -> dict[str, Any]:
    label = finding.label
    values = {
        "annotation": finding.position,
        "rle": label.rle if label else None,
        "iou": float(label.iou) if label and label.iou is not None else None,
        "score": float(label.score) if label and label.score is not None else None,
        "failed": finding.failed,
        "warned": finding.warned,
    }
    return {key: value for key, value in values.items() if value is not None}


def _end_line(lines: bytes, count: int) -> bytes:
    return _END_KEY + b'%d,"crc32":%d}\n' % (count, zlib.crc32(lines))
