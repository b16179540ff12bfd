"""Where the lists and objects of a large JSON file begin and end, without parsing it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mal.data.json_file import JsonFile, UnparsedError

Spans = npt.NDArray[np.int64]

_CHUNK = 4 * 1024**2  # bytes: fits in the caches of most processors, and costs nothing per call
_QUOTE, _OPEN, _CLOSE = 1, 2, 3
_KINDS = bytes({'"': _QUOTE, "{": _OPEN, "[": _OPEN, "}": _CLOSE, "]": _CLOSE}.get(chr(code), 0) for code in range(256))


@dataclass(frozen=True)
class Outline:
    """Spans of lists and objects as bytes of the file, first and one behind the last, (N, 2) int64 in file order.

    Attributes:
        values: those directly in the outermost object or list.
        records: those directly in one of ``values``.
    """

    values: Spans
    records: Spans

    def records_in(self, value: int) -> Spans:
        """The records of one value."""
        first, last = np.searchsorted(self.records[:, 0], self.values[value])
        return self.records[first:last]


def outline(file: JsonFile) -> Outline:
    """Find the values of the outermost container and the records in them.

    Only quotes and brackets are looked at. Nothing says that the text between them is JSON, or that a bracket is closed
    by one of its own kind: parsing the parts will.

    Raises:
        UnparsedError: quotes or brackets do not pair up.
    """
    edges: dict[tuple[int, int], list[npt.NDArray[np.int64]]] = {(d, k): [] for d in (2, 3) for k in (_OPEN, _CLOSE)}
    depth, in_text = 0, 0
    for start, chunk in _chunks(file):
        codes = np.frombuffer(_without_escapes(chunk).translate(_KINDS), np.uint8)
        places = np.flatnonzero(codes != 0)
        kinds = codes[places]
        quotes = np.cumsum(kinds == _QUOTE) + in_text
        brackets = (kinds != _QUOTE) & (quotes % 2 == 0)
        places, kinds = places[brackets] + start, kinds[brackets]
        steps = np.where(kinds == _OPEN, 1, -1)
        inner = depth + np.cumsum(steps) + (kinds == _CLOSE)  # the depth within the bracket, at both its ends
        for (level, kind), found in edges.items():
            found.append(places[(inner == level) & (kinds == kind)])
        depth += int(steps.sum())
        in_text = int(quotes[-1]) % 2 if len(quotes) else in_text
    if depth or in_text:
        raise UnparsedError("a bracket or a quote is open at the end")
    return Outline(*(_spans(edges[level, _OPEN], edges[level, _CLOSE]) for level in (2, 3)))


def _chunks(file: JsonFile) -> Iterator[tuple[int, bytes]]:
    """Positions and pieces of the file, cut where no escape is torn apart."""
    start = file.start
    while start < file.size:
        chunk = file.read(start, start + _CHUNK)
        while chunk.endswith(b"\\") and start + len(chunk) < file.size:
            stop = start + len(chunk)
            chunk += file.read(stop, stop + 1)
        yield start, chunk
        start += len(chunk)


def _without_escapes(chunk: bytes) -> bytes:
    """The chunk with neutral bytes for escaped backslashes and quotes."""
    return chunk.replace(rb"\\", b"__").replace(rb"\"", b"__") if b"\\" in chunk else chunk


def _spans(opening: list[npt.NDArray[np.int64]], closing: list[npt.NDArray[np.int64]]) -> Spans:
    starts, ends = np.concatenate([[], *opening]), np.concatenate([[], *closing])
    if len(starts) != len(ends) or not (starts < ends).all():
        raise UnparsedError("a bracket is closed before it is opened")
    return np.stack([starts, ends + 1], axis=1).astype(np.int64)
