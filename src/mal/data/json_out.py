"""Write JSON that every reader takes, and files that are whole or not there."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from mal.errors import UserError


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


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that takes its name only when it is complete.

    Until the block ends without an error, ``path`` keeps its old content. Missing folders are made.

    Raises:
        UserError: it cannot be written (no permission, full disk, ``path`` is a folder).
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        _remove(draft)


def _remove(draft: Path) -> None:
    # After success the draft is gone; where its folder could not be made or read, it never existed.
    if os.access(draft, os.F_OK):
        draft.unlink()
