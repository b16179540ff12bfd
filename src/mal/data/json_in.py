"""Parse JSON fast, and as everybody writes it: with NaN, Infinity and integers of any length, but no key twice."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import orjson

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_BLANKS_BEFORE_COLON = (b" :", b"\t:", b"\n:", b"\r:")
_LONGEST_SHOWN = 60
_LONG_INTEGER = re.compile(rb"[:,\[]\s*-?\d{19}")
_LONG_NUMBER = b"0" * 19
_DIGITS_AS_ZEROS = bytes.maketrans(b"123456789", b"000000000")


class DoubledKeyError(ValueError):
    """An object has a key twice: all but the last value would be lost."""


def loads(text: bytes) -> tuple[Any, bool]:
    """The value, and whether all its numbers are finite, as in strict JSON.

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
            pass  # not strict, or no JSON: the standard library tells
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
    """Whether counting alone shows that no key is doubled: a colon stands behind each, and not much elsewhere."""
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
    """An object in words: by the id of what is around it, if there is one."""
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
