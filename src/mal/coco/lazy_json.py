"""Lazy JSON: index a large file, keep it on disk, parse records on access."""

from __future__ import annotations

import json
import math
import os
import re
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from mal.errors import UserError

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_BLANKS_BEFORE_COLON = (b" :", b"\t:", b"\n:", b"\r:")
_LONGEST_SHOWN = 60
_LONG_INTEGER = re.compile(rb"[:,\[]\s*-?\d{19}")
_LONG_NUMBER = b"0" * 19
_DIGITS_AS_ZEROS = bytes.maketrans(b"123456789", b"000000000")


class DoubledKeyError(ValueError):
    """A JSON object has a duplicate key, so a value would be lost."""


def loads(text: bytes) -> tuple[Any, bool]:
    """Parse JSON; also return whether all numbers are finite, as strict JSON requires.

    Raises:
        DoubledKeyError: a key is twice in an object.
        ValueError: it is no JSON, not UTF-8, or holds a number of thousands of digits.
        RecursionError: it is nested too deep.
    """
    value, strict = _parsed(text)
    if not _has_single_keys(text, value):
        _refuse_doubled_keys(text)
    return value, strict


def _parsed(text: bytes) -> tuple[Any, bool]:
    if not _has_long_integer(text):
        try:
            return orjson.loads(text), True
        except orjson.JSONDecodeError:
            pass  # not strict, or not JSON: the standard library decides
    not_finite: list[str] = []

    def number(token: str) -> float:
        value = float(token)
        if not math.isfinite(value):
            not_finite.append(token)
        return value

    return json.loads(text.decode("utf-8"), parse_constant=number, parse_float=number), not not_finite


def _has_long_integer(text: bytes) -> bool:
    """Whether there may be an integer beyond 64 bits, which the fast parser rounds to a float; ids must not change."""
    # Looking for 19 zeros first is several times faster than the expression alone.
    return _LONG_NUMBER in text.translate(_DIGITS_AS_ZEROS) and _LONG_INTEGER.search(text) is not None


def _has_single_keys(text: bytes, value: Any) -> bool:
    """Whether the number of colons proves that no key is duplicate: each key has one, few are elsewhere."""
    keys = _num_keys(text, value)
    if text.count(b":") == keys:
        return True
    return text.count(b'":') == keys and not any(blank in text for blank in _BLANKS_BEFORE_COLON)


def _num_keys(text: bytes, value: Any) -> int:
    """Keys of all objects in a value, but for lists that begin with a number: looking at each would cost too much."""
    if type(value) is list and text.count(b"{") == len(value) and set(map(type, value)) == {dict}:
        return sum(map(len, value))  # objects without others in them
    total = 0
    stack: list[Any] = [[value]]
    while stack:
        items = stack.pop()
        if type(items) is dict:
            total += len(items)
            items = items.values()
        elif not items or type(items[0]) not in (dict, list):
            continue
        stack += [item for item in items if type(item) is dict or type(item) is list]
    return total


def _refuse_doubled_keys(text: bytes) -> None:
    doubled: list[tuple[str, dict[str, Any]]] = []

    def to_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) < len(pairs):
            keys = [key for key, _ in pairs]
            doubled.append((next(key for key in keys if keys.count(key) > 1), made))
        return made

    value = json.loads(text.decode("utf-8"), object_pairs_hook=to_object)
    if doubled:
        key, owner = doubled[0]
        raise DoubledKeyError(f"the key {json.dumps(key)} is twice in {_named(owner, value)}: keep one of them")


def _named(owner: dict[str, Any], value: Any) -> str:
    """Name an object in messages by the id of the record around it, if there is one."""
    stack: list[tuple[Any, str | None]] = [(value, None)]
    while stack:
        item, name = stack.pop()
        if isinstance(item, dict):
            name = f"the record with id {json.dumps(item['id'])}" if "id" in item else name
            if item is owner and name is not None:
                return name
        children = item.values() if isinstance(item, dict) else item
        stack += [(child, name) for child in children if isinstance(child, dict | list)]
    keys = ", ".join(map(json.dumps, owner))
    return f"the object of {keys if len(keys) <= _LONGEST_SHOWN else keys[: _LONGEST_SHOWN - 3] + '...'}"


class UnparsedError(Exception):
    """The file is damaged, or has a structure that cannot be read in parts."""


class JsonFile:
    """An open JSON file: reads and parses parts of it.

    The file stays open, so that it stays readable for a whole run even if it is deleted.

    Args:
        path: a file in UTF-8; for messages alone where a descriptor is given.
        descriptor: an open file without a name, in place of the one at ``path``; the caller may close it.

    Attributes:
        path: as given.
        start: where the text begins; a byte-order mark is left out.
        size: bytes of the file.
        strict_json: False once a part was parsed in which a number is NaN or infinite, for which strict JSON has no
            place.

    Raises:
        OSError: the file cannot be opened or is no plain file.
    """

    def __init__(self, path: Path, descriptor: int | None = None) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDONLY) if descriptor is None else os.dup(descriptor)
        weakref.finalize(self, os.close, self._descriptor)
        self._state = self._state_now()
        self.size = self._state[0]
        self.start = len(BYTE_ORDER_MARK) if self.read(0, 3) == BYTE_ORDER_MARK else 0
        self.strict_json = True

    def read(self, start: int, stop: int) -> bytes:
        """The bytes from ``start`` to ``stop``.

        Raises:
            UserError: the file has changed since it was opened.
        """
        if self._state_now() != self._state:
            raise UserError(f"{self.path} was changed while it was in use: run the command again")
        pieces = []
        while start < min(stop, self.size):
            pieces.append(os.pread(self._descriptor, stop - start, start))  # at most 2 GiB at a time
            start += len(pieces[-1])
        return b"".join(pieces)

    def parse(self, text: bytes) -> Any:
        """Parse text that was read from this file.

        Raises:
            UnparsedError: it is no JSON.
            UserError: a key is twice in an object.
        """
        try:
            value, strict = loads(text)
        except DoubledKeyError as error:
            raise UserError(f"{self.path}: {error}") from error
        except (ValueError, RecursionError) as error:
            raise UnparsedError(str(error)) from error
        self.strict_json &= strict
        return value

    def _state_now(self) -> tuple[int, int]:
        state = os.fstat(self._descriptor)
        return state.st_size, state.st_mtime_ns


Spans = npt.NDArray[np.int64]

_CHUNK = 4 * 1024**2  # bytes: fits in the caches of most processors, and costs nothing per call
_QUOTE, _OPEN, _CLOSE = 1, 2, 3
_KINDS = bytes({'"': _QUOTE, "{": _OPEN, "[": _OPEN, "}": _CLOSE, "]": _CLOSE}.get(chr(code), 0) for code in range(256))


@dataclass(frozen=True)
class JsonIndex:
    """Byte spans of lists and objects, end exclusive, (N, 2) int64 in file order.

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


def index_json(file: JsonFile) -> JsonIndex:
    """Find the values of the outermost container and the records in them.

    Looks at quotes and brackets only. Whether the text between them is valid JSON, and whether brackets match in kind,
    is checked when the parts are parsed.

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
    return JsonIndex(*(_spans(edges[level, _OPEN], edges[level, _CLOSE]) for level in (2, 3)))


def _chunks(file: JsonFile) -> Iterator[tuple[int, bytes]]:
    """Yield (position, bytes) chunks of the file that never split an escape sequence."""
    start = file.start
    while start < file.size:
        chunk = file.read(start, start + _CHUNK)
        while chunk.endswith(b"\\") and start + len(chunk) < file.size:
            stop = start + len(chunk)
            chunk += file.read(stop, stop + 1)
        yield start, chunk
        start += len(chunk)


def _without_escapes(chunk: bytes) -> bytes:
    """Replace escaped backslashes and quotes by neutral bytes."""
    return chunk.replace(rb"\\", b"__").replace(rb"\"", b"__") if b"\\" in chunk else chunk


def _spans(opening: list[npt.NDArray[np.int64]], closing: list[npt.NDArray[np.int64]]) -> Spans:
    starts, ends = np.concatenate([[], *opening]), np.concatenate([[], *closing])
    if len(starts) != len(ends) or not (starts < ends).all():
        raise UnparsedError("a bracket is closed before it is opened")
    return np.stack([starts, ends + 1], axis=1).astype(np.int64)


_BLOCK = 256 * 1024  # bytes parsed at a time: larger ones keep Python's garbage collector busy
_BLANKS = b" \t\r\n"


class JsonRecords:
    """A list of objects (or lists) in a file; each access parses again, so nothing is kept in memory.

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
        """Iterate over all records; they are parsed in blocks, several times faster than one by one.

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
