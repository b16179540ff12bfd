"""The labels in shards, found by an index and read when they are asked for."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from mal.labelling.label import Label
from mal.labelling.shards import Finding, finding_of, whole_batches

OPEN_FILES = 64  # at a time; a system may allow 256


class ShardLabels(Mapping[int, Label], AbstractContextManager["ShardLabels"]):
    """Labels by position in the annotations; what is in memory is 12 bytes for each annotation, and the failures.

    A label goes before a failure, and what is read later before what was read earlier.

    Args:
        wanted: (num_annotations,) bool, the boxes of this run. What shards say of others, which another version may
            have taken for boxes, does not count.
        paths: shards to read, older ones first.

    Attributes:
        failed: why a box has no label, by position.
        warned: what is odd about a labelled box, by position.
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
        """(num_annotations,) bool: those that have a label."""
        return self._shards >= 0

    def add(self, path: Path) -> None:
        """Read a shard; its labels replace those that were read before."""
        shard = len(self._paths)
        self._paths.append(path)
        for batch in whole_batches(path):
            for place, line in batch:
                self._note(finding_of(line), shard, place)

    def __getitem__(self, position: int) -> Label:
        if not 0 <= position < len(self._shards) or self._shards[position] < 0:
            raise KeyError(position)
        file = self._file(int(self._shards[position]))
        file.seek(self._places[position])
        label = finding_of(file.readline()).label
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

    def _note(self, finding: Finding, shard: int, place: int) -> None:
        position = finding.position
        if not self._wanted[position]:
            return
        if finding.label is None:
            if self._shards[position] < 0:
                self.failed[position] = finding.failed or "no reason is known"
            return
        self._shards[position], self._places[position] = shard, place
        self.failed.pop(position, None)
        self.warned.pop(position, None)
        if finding.warned is not None:
            self.warned[position] = finding.warned

    def _file(self, shard: int) -> BinaryIO:
        file = self._open.pop(shard, None) or self._paths[shard].open("rb")
        self._open[shard] = file
        if len(self._open) > OPEN_FILES:
            self._open.popitem(last=False)[1].close()
        return file
