"""Parse JSON fast, and as everybody writes it: with NaN, Infinity and integers of any length."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import orjson

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_LONG_INTEGER = re.compile(rb"[:,\[]\s*-?\d{19}")
_LONG_NUMBER = b"0" * 19
_DIGITS_AS_ZEROS = bytes.maketrans(b"123456789", b"000000000")


def loads(text: bytes) -> tuple[Any, bool]:
    """The value, and whether all its numbers are finite, as in strict JSON.

    Raises:
        ValueError: it is no JSON, not UTF-8, or holds a number of thousands of digits.
        RecursionError: it is nested too deep.
    """
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
