"""The schema's complaints, rewritten as one plain line each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mal.config.catalog import field_by_key
from mal.config.suggest import did_you_mean, line_instead

_WANTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "a text",
    "list_type": "a list",
}
_LIMITS = {
    "greater_than_equal": ("ge", "too small; must be at least"),
    "greater_than": ("gt", "too small; must be above"),
    "less_than_equal": ("le", "too large; must be at most"),
    "less_than": ("lt", "too large; must be below"),
}
_SHARDED = ("ddp_sharded", "ddp_sharded_spawn", "sharded_ddp")  # of TAO's older pages
_LONGEST_SHOWN = 60


def dotted_key(location: Sequence[str | int]) -> str:
    """``("train", "gpu_ids", 0)`` as ``train.gpu_ids[0]``."""
    key = ""
    for part in location:
        key += f"[{part}]" if isinstance(part, int) else f".{part}" if key else part
    return key


def message(key: str, error: Mapping[str, Any], *, as_written: str | None = None) -> str:
    """One line for one error of pydantic's ``errors()`` list; a secret's value is never part of it.

    Args:
        key: of the field.
        error: of the list.
        as_written: what stands in the spec, where the value came from the environment and must not be shown.
    """
    kind, context = error["type"], error.get("ctx", {})
    field_key = key.partition("[")[0]
    entry = field_by_key().get(field_key)
    value = "that value" if entry and entry.is_secret else as_written or shown(error["input"])
    if kind == "extra_forbidden":
        return f"no such key{line_instead(key, error['input']) or did_you_mean(key)}"
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return f"is a section: write its fields in lines of their own under it, not {value}"
    if kind in _WANTED:
        or_null = " or null" if entry and entry.type_text.endswith("or null") and key == field_key else ""
        hint = "; put it in quotes" if kind == "string_type" and isinstance(error["input"], int | float) else ""
        return f"must be {_WANTED[kind]}{or_null}, not {value}{hint}"
    if kind in _LIMITS:
        name, words = _LIMITS[kind]
        return f"{value} is {words} {context[name]:g}"
    if key == "strategy" and error["input"] in _SHARDED:
        return f"{value} is not supported; write `strategy: fsdp`, which shares a model out between GPUs"
    if kind == "literal_error":
        return f"{value} is not supported; must be {context['expected']}"
    if kind == "too_short":
        return f"has {context['actual_length']} values; needs at least {context['min_length']}"
    if kind == "too_long":
        return f"has {context['actual_length']} values; needs at most {context['max_length']}"
    if as_written is not None:
        return f"{as_written} has no value that fits"
    if kind == "value_error":
        return str(context["error"])
    return str(error["msg"])


def shown(value: Any) -> str:
    """A value of the spec as a short text on one line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a group of fields"
    text = " ".join(repr(value).split())
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 3] + "..."
