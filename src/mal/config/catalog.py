"""The fields of the spec as a flat list, for help, documentation and error messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from mal.config.fields import DeviceSection
from mal.config.schema import ExperimentSpec
from mal.config.sections import PredictionSection

_TYPE_NAMES = {
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "string": "text",
    "null": "null",
}
_PLURALS = {"integer": "whole numbers", "number": "numbers", "string": "texts"}


@dataclass(frozen=True, slots=True)
class FieldEntry:
    """One field of the spec.

    Attributes:
        key: dotted key, such as ``train.cudnn.benchmark``.
        section: dotted key of the section that holds it; empty at the top.
        type_text: its type in words.
        allowed: its limits or options in words; empty without any.
        tasks: the tasks that read it.
        is_text: whether it is a string, so that an override needs no quotes.
        is_secret: whether its value must never be shown or saved.
        from_checkpoint: whether labeling and evaluation default to the checkpoint's value.
        flag: the option of ``mal label`` that sets it; None without one.
        has_effect: False if it is accepted only for TAO's specs.
        rule: its part of the JSON Schema, with the first variant of a union merged in.
    """

    key: str
    section: str
    default: Any
    type_text: str
    allowed: str
    description: str
    tasks: tuple[str, ...]
    is_text: bool
    is_secret: bool
    from_checkpoint: bool = False
    flag: str | None = None
    has_effect: bool = True
    rule: Mapping[str, Any] = field(default_factory=dict, hash=False, repr=False)

    @property
    def name(self) -> str:
        return self.key.rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class SectionEntry:
    """A section of the spec: its dotted key and what it is for."""

    key: str
    description: str


@cache
def spec_fields() -> tuple[FieldEntry, ...]:
    """All fields in the order of the schema."""
    schema = ExperimentSpec.model_json_schema()
    return tuple(entry for entry in _walk(schema, schema, "") if isinstance(entry, FieldEntry))


@cache
def spec_sections() -> tuple[SectionEntry, ...]:
    """All sections in the order of the schema, an outer one before those in it."""
    schema = ExperimentSpec.model_json_schema()
    return tuple(entry for entry in _walk(schema, schema, "") if isinstance(entry, SectionEntry))


@cache
def field_by_key() -> dict[str, FieldEntry]:
    """The fields by their dotted keys."""
    return {entry.key: entry for entry in spec_fields()}


@cache
def section_keys() -> frozenset[str]:
    """The dotted keys of all sections."""
    return frozenset(section.key for section in spec_sections())


def _walk(root: dict[str, Any], node: dict[str, Any], section: str) -> list[FieldEntry | SectionEntry]:
    entries: list[FieldEntry | SectionEntry] = []
    for name, rule in node["properties"].items():
        key = f"{section}.{name}" if section else name
        if "$ref" in rule:
            inner = root["$defs"][rule["$ref"].rpartition("/")[2]]
            entries += [SectionEntry(key, inner["description"]), *_walk(root, inner, key)]
        else:
            entries.append(_field_entry(key, section, rule))
    return entries


def _field_entry(key: str, section: str, rule: dict[str, Any]) -> FieldEntry:
    variants = rule.get("anyOf", [rule])
    value_rule = {**rule, **variants[0]}
    is_nullable = any(variant.get("type") == "null" for variant in variants)
    words = [variant for variant in variants[1:] if "const" in variant]
    return FieldEntry(
        key=key,
        section=section,
        default=rule["default"],
        type_text=_type_text(value_rule) + (" or null" if is_nullable else ""),
        allowed="; ".join(filter(None, (_allowed(value_rule), *(f"or {variant['const']}" for variant in words)))),
        description=rule["description"],
        tasks=_tasks(key.rpartition(".")[2], section, rule["x-tasks"]),
        is_text=value_rule["type"] == "string",
        is_secret=rule.get("x-secret", False),
        from_checkpoint=rule.get("x-from-checkpoint", False),
        flag=rule.get("x-flag") if section != "evaluate" else None,
        has_effect=rule["x-has-effect"],
        rule=value_rule,
    )


def _tasks(name: str, section: str, declared: Sequence[str]) -> tuple[str, ...]:
    """The tasks that read a field; a field shared by several sections is read by its section's task."""
    if name in DeviceSection.model_fields:
        return (section,)
    if name in PredictionSection.model_fields:
        return tuple(task for task in declared if (task == "inference") == (section == "inference"))
    return tuple(declared)


def _type_text(rule: dict[str, Any]) -> str:
    if rule["type"] == "array":
        return f"list of {_PLURALS[rule['items']['type']]}"
    return "path" if rule.get("format") == "path" else _TYPE_NAMES[rule["type"]]


def _allowed(rule: dict[str, Any]) -> str:
    if "enum" in rule:
        return ", ".join(rule["enum"])
    if "const" in rule:
        return str(rule["const"])
    if rule["type"] == "array":
        return "; ".join(part for part in (_count_text(rule), _range_text(rule["items"])) if part)
    return _range_text(rule)


def _range_text(rule: dict[str, Any]) -> str:
    limits = (("minimum", ">= "), ("exclusiveMinimum", "> "), ("maximum", "<= "), ("exclusiveMaximum", "< "))
    return ", ".join(f"{sign}{rule[name]}" for name, sign in limits if name in rule)


def _count_text(rule: dict[str, Any]) -> str:
    low, high = rule.get("minItems"), rule.get("maxItems")
    if low is None:
        return ""
    if high is None:
        return f"{low} or more"
    return f"{low} values" if low == high else f"{low} to {high} values"
