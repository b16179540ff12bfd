"""Write JSON that every reader takes."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from mal.files import atomic_file


def dumps(value: Any, *, indent: bool = False) -> bytes:
    """Strict JSON of a value without NaN or infinity, compact or indented by two blanks."""
    try:
        return orjson.dumps(value, option=orjson.OPT_INDENT_2 if indent else None)
    except orjson.JSONEncodeError:
        # Integers beyond 64 bits and lone surrogates, which the fast writer refuses.
        return json.dumps(value, allow_nan=False, indent=2 if indent else None).encode("ascii")


def without_non_finite(value: Any) -> tuple[Any, int]:
    """The JSON value with null for every NaN and infinity, and how many there were."""
    if isinstance(value, float) and not math.isfinite(value):
        return None, 1
    if isinstance(value, dict):
        cleaned = {key: without_non_finite(item) for key, item in value.items()}
        return {key: item for key, (item, _) in cleaned.items()}, sum(count for _, count in cleaned.values())
    if isinstance(value, list):
        items = [without_non_finite(item) for item in value]
        return [item for item, _ in items], sum(count for _, count in items)
    return value, 0


def write_object(file: BinaryIO, items: Iterable[tuple[str, bytes | Iterable[bytes]]]) -> None:
    """Stream a JSON object, a line for each of its values and for each record of its lists.

    Args:
        file: open for writing.
        items: keys, each with its value as JSON; or with the records of a list, each as JSON.
    """
    file.write(b"{")
    for index, (key, value) in enumerate(items):
        file.write((b",\n" if index else b"") + dumps(key) + b": ")
        if isinstance(value, bytes):
            file.write(value)
            continue
        file.write(b"[")
        for number, record in enumerate(value):
            file.write((b",\n" if number else b"\n") + record)
        file.write(b"]")
    file.write(b"}\n")


def write_json(value: Any, path: Path) -> None:
    """Write strict JSON, indented, whole or not at all.

    Raises:
        UserError: the file cannot be written.
    """
    with atomic_file(path) as file:
        file.write(dumps(value, indent=True) + b"\n")
