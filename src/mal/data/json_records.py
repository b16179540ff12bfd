"""The objects of a long JSON list, left in the file and parsed when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from mal.data.json_file import JsonFile, UnparsedError
from mal.data.json_outline import Spans

_BLOCK = 256 * 1024  # bytes parsed at a time: larger ones keep Python's garbage collector busy
_BLANKS = b" \t\r\n"


class JsonRecords:
    """A list of objects (or lists) in a file; each access parses anew, so that nothing is kept in memory.

    Args:
        file: the file.
        span: of the list, with its brackets.
        records: spans of the objects in it, (N, 2).
    """

    def __init__(self, file: JsonFile, span: tuple[int, int], records: Spans) -> None:
        self._file = file
        self._span = span
        self._records = records

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> Any:
        start, stop = self._records[index].tolist()
        return self._file.parse(self._file.read(start, stop))

    def __iter__(self) -> Iterator[Any]:
        """All records, in blocks, which is several times faster than one by one.

        Raises:
            UnparsedError: a record is no JSON, or the list holds more than objects and lists.
        """
        starts, total = self._records[:, 0], len(self)
        head, tail = self._span[0] + 1, self._span[1] - 1
        self._require_blank(head, starts[0] if total else tail)
        first = 0
        while first < total:
            last = max(first + 1, int(np.searchsorted(starts, starts[first] + _BLOCK)))
            text = self._file.read(int(starts[first]), int(starts[last]) if last < total else tail)
            yield from self._block(text, last - first, is_last=last == total)
            first = last

    def _block(self, text: bytes, count: int, *, is_last: bool) -> list[Any]:
        """The records of a text that ends before the next record, or before the end of the list."""
        text = text.rstrip(_BLANKS)
        if not is_last:
            if not text.endswith(b","):
                raise UnparsedError("a comma is missing between two records")
            text = text[:-1]
        records = self._file.parse(b"[" + text + b"]")
        if len(records) != count:
            raise UnparsedError("the list holds more than objects")
        return records

    def _require_blank(self, start: int, stop: int) -> None:
        if self._file.read(start, int(stop)).strip(_BLANKS):
            raise UnparsedError("the list begins with something that is no object")
