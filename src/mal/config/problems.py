"""Validation errors as one plain line each, with the nearest real key for a misspelled one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from functools import cache
from typing import Any

from mal.config.catalog import field_by_key, section_keys

_OTHER_NAMES = {
    "model.backbone": "model.arch",
    "model.architecture": "model.arch",
    "dataset.image_size": "dataset.crop_size",
    "dataset.img_size": "dataset.crop_size",
    "dataset.num_workers": "dataset.num_workers_per_gpu",
    "train.learning_rate": "train.lr",
    "train.weight_decay": "train.wd",
    "train.epochs": "train.num_epochs",
    "train.max_epochs": "train.num_epochs",
    "train.optimizer": "train.optim_type",
    "train.betas": "train.optim_betas",
    "train.eps": "train.optim_eps",
    "train.momentum": "train.optim_momentum",
    "train.threshold": "train.mask_thres",
    "train.resume": "train.resume_training_checkpoint_path",
    "train.pretrained": "train.pretrained_model_path",
    "train.gpus": "train.num_gpus",
    "inference.output": "inference.label_dump_path",
}
_NAMES_OF_OLDER_PAGES = {
    "train.save_every_k_epoch": "train.checkpoint_interval",
    "train.val_interval": "train.validation_interval",
}
_LEAST_LIKENESS = 0.6
_LEAST_NAME_LIKENESS = 0.5
_SURE_LIKENESS = 0.85
_WRONG_SECTION = 0.1  # penalty of a match in another section
_TIE = 0.02


def nearest_keys(key: str) -> list[str]:
    """The real keys most similar to ``key``: several if they are about equally close, none if nothing is.

    The section may be wrong or absent: ``lr`` finds ``train.lr``.
    """
    scores: dict[str, float] = {}
    for candidate, real_key in _candidates().items():
        is_its_section = candidate in section_keys() and key.startswith(f"{candidate}.")
        if not is_its_section:
            scores[real_key] = max(scores.get(real_key, 0.0), _likeness(key, candidate))
    best = max(scores.values())
    if best < _LEAST_LIKENESS:
        return []
    return sorted((key for key, score in scores.items() if score >= best - _TIE), key=lambda near: -scores[near])


def line_instead(key: str, value: Any) -> str:
    """The replacement for a key of TAO's older pages, as the end of a message; empty for other keys.

    Args:
        key: dotted key that is not a field of the spec.
        value: its value in the spec.
    """
    section, _, name = key.rpartition(".")
    if name in ("gpus", "gpu_ids", "num_gpus", "gpu_index") and section in ("", "train", "evaluate", "inference"):
        real = f"{section or 'train'}.{'gpu_ids' if isinstance(value, list) else 'num_gpus'}"
    elif key in _NAMES_OF_OLDER_PAGES:
        real = _NAMES_OF_OLDER_PAGES[key]
    else:
        return ""
    section, _, name = real.rpartition(".")
    line = json.dumps(value) if isinstance(value, (bool, int, float, str, list)) else "..."
    return f"; write `{name}: {line}`" + (f" under `{section}:`" if section else "")


def did_you_mean(key: str) -> str:
    """`nearest_keys` as the end of a message: ``"; did you mean train.lr?"``, or empty."""
    near = nearest_keys(key)
    if not near:
        return ""
    listed = ", ".join(near[:-1]) + " or " + near[-1] if len(near) > 1 else near[0]
    return f"; did you mean {listed}?"


def _likeness(key: str, candidate: str) -> float:
    whole = SequenceMatcher(None, key, candidate, autojunk=False).ratio()
    name = SequenceMatcher(None, key.rpartition(".")[2], candidate.rpartition(".")[2], autojunk=False).ratio()
    # Keys of one section share its prefix, so the names must be similar too.
    is_alike = name >= _LEAST_NAME_LIKENESS or whole >= _SURE_LIKENESS
    return max(whole, name - _WRONG_SECTION) if is_alike else 0.0


@cache
def _candidates() -> dict[str, str]:
    return {key: key for key in (*section_keys(), *field_by_key())} | _OTHER_NAMES


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
        key: dotted key of the field.
        error: an entry of the list.
        as_written: the reference in the spec, if the value came from the environment and must not be shown.
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
    """A value of the spec as a short string on one line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a group of fields"
    text = " ".join(repr(value).split())
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 3] + "..."
