"""Shards: append-only files of the labels computed so far, and an index over them.

A shard is a file of one process in one attempt. Every line is a JSON object: a line for each box of a batch, then one
with their number and checksum. All lines of a batch are written at once. After a kill or a power failure the last batch
may be incomplete: it lacks the final line and is ignored.
"""

from __future__ import annotations

import json
import os
import time
import zlib
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from mal.files import cannot_write, dumps
from mal.masks.rle import Rle, rle_area


@dataclass(frozen=True, slots=True)
class MaskLabel:
    """The result for one annotation.

    Attributes:
        rle: mask of the full image; it may be empty.
        iou: IoU with the true mask, 0..1; None without a true mask.
        score: estimated quality without a true mask, 0..1; None if not requested.
    """

    rle: Rle
    iou: float | None = None
    score: float | None = None


def reason_to_doubt(label: MaskLabel, min_score: float | None) -> str:
    """The reason to review a label; empty if there is none.

    Args:
        label: an empty mask is always doubtful.
        min_score: a lower score is doubtful; None disables this.
    """
    reasons = [] if rle_area(label.rle) else ["the mask is empty"]
    if min_score is not None and label.score is not None and label.score < min_score:
        reasons.append(f"mask_score {label.score:.3g} is below inference.min_score {min_score:g}")
    return "; ".join(reasons)


class Positions(Collection[int]):
    """The indices at which an array is True.

    Args:
        is_in: (N,) bool.
    """

    def __init__(self, is_in: npt.NDArray[np.bool_]) -> None:
        self._is_in = is_in

    def __contains__(self, position: object) -> bool:
        return isinstance(position, int) and 0 <= position < len(self._is_in) and bool(self._is_in[position])

    def __iter__(self) -> Iterator[int]:
        return (int(position) for position in np.flatnonzero(self._is_in))

    def __len__(self) -> int:
        return int(self._is_in.sum())


SUFFIX = ".jsonl"
SECONDS_BETWEEN_SYNCS = 30.0  # of work that a power failure may lose; a killed process loses none
_END_KEY = b'{"end_of_batch":'


@dataclass(frozen=True, slots=True)
class BoxResult:
    """The outcome of one box: a label or a failure.

    Attributes:
        position: index in the file's ``annotations`` list.
        label: its mask; None if it failed.
        failed: the reason of a failure.
        warned: what is odd about its true mask, if the label was compared with it.
    """

    position: int
    label: MaskLabel | None = None
    failed: str | None = None
    warned: str | None = None


class ShardWriter:
    """Write a new shard; written batches survive the process.

    Args:
        path: the file to create; it must not exist, since batches after an incomplete one might not be read.

    Raises:
        UserError: the file cannot be created or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("xb", buffering=0)
        except OSError as error:
            raise cannot_write(path, error) from error
        self._synced = time.monotonic()

    def write(self, results: Sequence[BoxResult]) -> None:
        """Append a batch."""
        lines = b"".join(dumps(_as_json(result)) + b"\n" for result in results)
        try:
            left = memoryview(lines + _end_line(lines, len(results)))
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
    """Yield the complete batches of a shard: each as its lines with their byte offsets."""
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


def parse_box_result(line: bytes) -> BoxResult:
    """Parse a line of a complete batch."""
    entry = json.loads(line)
    label = MaskLabel(entry["rle"], entry.get("iou"), entry.get("score")) if "rle" in entry else None
    return BoxResult(entry["annotation"], label, entry.get("failed"), entry.get("warned"))


def _as_json(result: BoxResult) -> dict[str, Any]:
    label = result.label
    values = {
        "annotation": result.position,
        "rle": label.rle if label else None,
        "iou": float(label.iou) if label and label.iou is not None else None,
        "score": float(label.score) if label and label.score is not None else None,
        "failed": result.failed,
        "warned": result.warned,
    }
    return {key: value for key, value in values.items() if value is not None}


def _end_line(lines: bytes, count: int) -> bytes:
    return _END_KEY + b'%d,"crc32":%d}\n' % (count, zlib.crc32(lines))


OPEN_FILES = 64  # at a time; some systems allow only 256


class ShardLabels(Mapping[int, MaskLabel], AbstractContextManager["ShardLabels"]):
    """Labels by position in the annotations; memory holds 12 bytes for each annotation, and the failures.

    A label replaces a failure, and later results replace earlier ones.

    Args:
        wanted: (num_annotations,) bool, the boxes of this run. Results for other positions, which another version
            may have written, are ignored.
        paths: shards to read, older ones first.

    Attributes:
        failed: reasons of boxes without a label, by position.
        warned: what is odd about labeled boxes, by position.
    """

    def __init__(self, wanted: npt.NDArray[np.bool_], paths: Iterable[Path] = ()) -> None:
        self._paths: list[Path] = []
        self._wanted = wanted
        self._shards = np.full(len(wanted), -1, np.int32)
        self._places = np.zeros(len(wanted), np.int64)
        self._open: OrderedDict[int, BinaryIO] = OrderedDict()
        self.failed: dict[int, str] = {}
        self.warned: dict[int, str] = {}
        for path in paths:
            self.add(path)

    @property
    def done(self) -> npt.NDArray[np.bool_]:
        """(num_annotations,) bool: the annotations that have a label."""
        return self._shards >= 0

    def add(self, path: Path) -> None:
        """Read a shard; its labels replace earlier ones."""
        shard = len(self._paths)
        self._paths.append(path)
        for batch in whole_batches(path):
            for place, line in batch:
                self._note(parse_box_result(line), shard, place)

    def __getitem__(self, position: int) -> MaskLabel:
        if not 0 <= position < len(self._shards) or self._shards[position] < 0:
            raise KeyError(position)
        file = self._file(int(self._shards[position]))
        file.seek(self._places[position])
        label = parse_box_result(file.readline()).label
        assert label is not None
        return label

    def __contains__(self, position: object) -> bool:
        return isinstance(position, int) and 0 <= position < len(self._shards) and bool(self._shards[position] >= 0)

    def __iter__(self) -> Iterator[int]:
        return (int(position) for position in np.flatnonzero(self.done))

    def __len__(self) -> int:
        return int(self.done.sum())

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        while self._open:
            self._open.popitem()[1].close()

    def _note(self, result: BoxResult, shard: int, place: int) -> None:
        position = result.position
        if not self._wanted[position]:
            return
        if result.label is None:
            if self._shards[position] < 0:
                self.failed[position] = result.failed or "no reason is known"
            return
        self._shards[position], self._places[position] = shard, place
        self.failed.pop(position, None)
        self.warned.pop(position, None)
        if result.warned is not None:
            self.warned[position] = result.warned

    def _file(self, shard: int) -> BinaryIO:
        file = self._open.pop(shard, None) or self._paths[shard].open("rb")
        self._open[shard] = file
        if len(self._open) > OPEN_FILES:
            self._open.popitem(last=False)[1].close()
        return file
