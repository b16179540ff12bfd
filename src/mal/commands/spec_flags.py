"""Options made from spec fields: each field that declares a flag, with its type, limits and description."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from mal.commands.parser import CommandParser
from mal.config.catalog import FieldEntry, spec_fields
from mal.config.load import spec_from_values
from mal.config.schema import ExperimentSpec
from mal.errors import SpecError

_ALIASES = {"--ann": ("--data",)}
_METAVARS = {"path": "PATH", "whole number": "N", "number": "NUMBER"}


OF_FILES = (
    "inference.ann_path",
    "inference.ann_format",
    "inference.img_dir",
    "inference.keep_existing_masks",
    "inference.min_score",
    "masks.no_overlap",
    "dataset.num_workers_per_gpu",
    "dataset.exif",
)
"""Fields of no use where boxes and pictures come from another program."""


def add_spec_flags(group: Any, keys: Iterable[str] | None = None, *, leave_out: Iterable[str] = ()) -> None:
    """Declare the flags of some fields; flags not given are absent from the parsed arguments.

    Args:
        group: a parser or a group of its arguments.
        keys: dotted keys; None means all that have a flag.
        leave_out: keys to skip.
    """
    for entry in spec_fields():
        if entry.flag and (keys is None or entry.key in keys) and entry.key not in leave_out:
            _add_flag(group, entry, entry.flag)


def values_given(arguments: argparse.Namespace) -> dict[str, Any]:
    """The values of the given flags, by dotted key."""
    given = vars(arguments)
    return {entry.key: given[entry.key] for entry in spec_fields() if entry.flag and entry.key in given}


def spec_of_flags(parser: CommandParser, values: Mapping[str, Any]) -> ExperimentSpec:
    """Build a spec with these values; exits with a usage error that names the options if they conflict."""
    try:
        return spec_from_values(values)
    except SpecError as error:
        parser.error(_with_flags(error.problems[0]))


def _add_flag(group: Any, entry: FieldEntry, flag: str) -> None:
    options: dict[str, Any] = {"dest": entry.key, "default": argparse.SUPPRESS}
    text = (
        entry.description if "path" in entry.type_text else f"{entry.description} (default: {_default_text(entry)})"
    ).replace("%", "%%")
    if entry.rule["type"] == "boolean":
        opposite = f"--{flag.removeprefix('--no-')}" if flag.startswith("--no-") else f"--no-{flag.removeprefix('--')}"
        group.add_argument(flag, action="store_const", const=True, help=text, **options)
        group.add_argument(opposite, action="store_const", const=False, help=f"the opposite of {flag}", **options)
    elif choices := entry.rule.get("enum") or ([entry.rule["const"]] if "const" in entry.rule else None):
        group.add_argument(flag, choices=choices, help=text, **options)
    else:
        names = (flag, *_ALIASES.get(flag, ()))
        group.add_argument(*names, type=_value_parser(entry), metavar=_metavar(entry), help=text, **options)


def _default_text(entry: FieldEntry) -> str:
    if entry.from_checkpoint:
        return "the checkpoint's"
    if isinstance(entry.default, bool):
        return "yes" if entry.default else "no"
    return "none" if entry.default is None else str(entry.default)


def _metavar(entry: FieldEntry) -> str:
    is_share = (entry.rule.get("minimum"), entry.rule.get("maximum")) == (0, 1)
    return "SHARE" if is_share else _METAVARS.get(entry.type_text.removesuffix(" or null"), "NUMBERS")


def _value_parser(entry: FieldEntry) -> Callable[[str], Any]:
    rule = entry.rule
    if rule["type"] == "array":
        words = [variant["const"] for variant in rule.get("anyOf", ()) if "const" in variant]
        return lambda text: text if text in words else [_number(part, rule["items"]) for part in text.split(",")]
    if rule["type"] in ("integer", "number"):
        return lambda text: _number(text, rule)
    return str


def _number(text: str, rule: Mapping[str, Any]) -> float:
    is_whole = rule["type"] == "integer"
    try:
        value = int(text) if is_whole else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a {'whole ' if is_whole else ''}number") from None
    low, high = rule.get("minimum"), rule.get("maximum")
    if low is not None and high is not None and not low <= value <= high:
        raise argparse.ArgumentTypeError(f"{text} is not between {low:g} and {high:g}")
    if low is not None and not value >= low:
        raise argparse.ArgumentTypeError(f"{text} is too small; must be at least {low:g}")
    return value


def _with_flags(problem: str) -> str:
    for entry in sorted(spec_fields(), key=lambda entry: -len(entry.key)):
        if entry.flag:
            key = rf"(?<![\w.-]){re.escape(entry.key)}(?![\w.])"
            problem = re.sub(key, entry.flag, re.sub(f"{key}: ", f"{entry.flag} ", problem))
    return problem.replace("set one of the two to its default", "leave one of them out")
