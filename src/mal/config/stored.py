"""A spec as it is written to files: without secrets, and with references in place of what came from the environment."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from mal.config.catalog import spec_fields
from mal.config.schema import ExperimentSpec


def stored_values(spec: ExperimentSpec, *, is_stored: Callable[[str, Any], bool]) -> dict[str, Any]:
    """The spec as plain values.

    Args:
        spec: as loaded.
        is_stored: of a dotted key and a value that came from the environment, whether its reference takes its place.
    """
    values = spec.model_dump(mode="json", exclude={entry.key for entry in spec_fields() if entry.is_secret})
    for key, (written, value) in spec.references.items():
        if value is not None and value_at(values, key) == value and is_stored(key, value):
            *path, last = _parts(key)
            node: Any = values
            for part in path:
                node = node[part]
            node[last] = written
    return values


def value_at(values: Any, key: str) -> Any:
    """The value of a dotted key with indices, as ``train.gpu_ids[0]``; None where there is none."""
    try:
        for part in _parts(key):
            values = values[part]
    except (KeyError, IndexError, TypeError):
        return None
    return values


def _parts(key: str) -> list[str | int]:
    return [int(part) if part.isdecimal() else part for part in re.split(r"[.\[\]]+", key) if part]
