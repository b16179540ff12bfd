"""Parse JSON fast, and as everybody writes it: with NaN, Infinity and integers of any length."""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

# The fast parser rounds integers beyond 64 bits to floats, and an id must not change.
_LONG_INTEGER = re.compile(rb'":\s*-?\d{19}')


def loads(text: bytes) -> tuple[Any, bool]:
    """The value, and whether the text is strict JSON.

    Raises:
        ValueError: it is no JSON, not UTF-8, or holds a number of thousands of digits.
        RecursionError: it is nested too deep.
    """
    if _LONG_INTEGER.search(text):
        strict = True
    else:
        try:
            return orjson.loads(text), True
        except orjson.JSONDecodeError:
            strict = False
    return json.loads(text.decode("utf-8")), strict
