"""Texts made from the schema: commented spec, help, tables for the docs, JSON Schema."""

from __future__ import annotations

import json
import re
import shutil
import textwrap
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from mal.config.catalog import FieldEntry, SectionEntry, spec_fields, spec_sections
from mal.config.fields import Task
from mal.config.load import REQUIRED_PATHS
from mal.config.recipes import RECIPES
from mal.config.schema import ExperimentSpec

_COMMENT_WIDTH = 100
_WIDEST_HELP = 120
_OR_THE_CHECKPOINTS = ", or the checkpoint's"
_GENERAL = SectionEntry("", "Fields at the top of the spec.")
_NO_EFFECT = (
    "## Accepted for TAO's specs, no effect\n\n"
    "TAO's specs may set these fields; mal reads and checks them, and does nothing else with them. The second number"
    " of `train.test_margin_rate` belongs here too.\n"
)


def spec_yaml(task: Task | None = None, recipe: str | None = None) -> str:
    """A spec with every field, each below its meaning; it loads back to the defaults, or to the recipe.

    Args:
        task: leave out fields that this task does not read; None shows all. Values of the recipe always stay.
        recipe: name in :data:`mal.config.recipes.RECIPES`; None for the defaults.
    """
    title = f"Spec of `mal {task}`" if task else "Spec of mal"
    lines = [f"# {title}: every field with its default. Delete what you do not change."]
    values: dict[str, Any] = {}
    if recipe:
        values = RECIPES[recipe].values
        lines = _comment(f"{title}, recipe {recipe}. {RECIPES[recipe].about} Required: the paths that are null.", "")
    for section, fields in _groups(task, values):
        depth = section.key.count(".") + 1 if section.key else 0
        if section.key:
            outer_indent = "  " * (depth - 1)
            lines += ["", *_comment(section.description, outer_indent)]
            lines.append(f"{outer_indent}{section.key.rpartition('.')[2]}:")
        for field in fields:
            indent = "  " * depth
            lines += _comment(_sentence(field, task), indent)
            lines.append(f"{indent}{field.name}: {_value_line(field, values)}")
    return "\n".join(lines) + "\n"


def task_fields_help(task: Task) -> str:
    """The fields that ``task`` reads, for ``-h``: key, type and default, meaning; as wide as the terminal."""
    width = min(shutil.get_terminal_size().columns, _WIDEST_HELP)
    groups = list(_groups(task))
    column = max(len(field.key) for _, fields in groups for field in fields) + 4
    lines = ["fields of the spec; on the command line: key=value, e.g. train.lr=1e-4 or train.gpu_ids=[0,1]"]
    for section, fields in groups:
        lines += ["", f"{section.key or 'general'}: {section.description}"]
        for field in fields:
            about = f"{_type_and_limits(field)}; default {_yaml_text(field.default)}"
            if field.from_checkpoint and task != "train":
                about += _OR_THE_CHECKPOINTS
            text = [*_wrap(about, width - column), *_wrap(_meaning(field, task), width - column)]
            lines.append(f"  {field.key}".ljust(column) + text[0])
            lines += [" " * column + line for line in text[1:]]
    return "\n".join(lines) + "\n"


def field_tables() -> str:
    """All fields as Markdown: one table for each section, and one for those without effect."""
    parts = []
    for section, fields in _groups(None):
        heading = f"## `{section.key}`" if section.key else "## General"
        rows = _table_rows(field for field in fields if field.has_effect)
        parts.append("\n".join([heading, "", section.description, "", *rows]))
    parts.append("\n".join([_NO_EFFECT, *_table_rows(field for field in spec_fields() if not field.has_effect)]))
    return "\n\n".join(parts) + "\n"


def _table_rows(fields: Iterable[FieldEntry]) -> list[str]:
    return ["| Field | Type | Default | Allowed | Meaning |", "|---|---|---|---|---|"] + [
        f"| `{field.key}` | {field.type_text} | {_default_cell(field)} | {field.allowed or '–'}"
        f" | {field.description.replace('<', '&lt;').replace('*', '&ast;')} |"
        for field in fields
    ]


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a spec file, for editors that complete and check YAML."""
    schema = _without_private_keys(ExperimentSpec.model_json_schema())
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _value_line(field: FieldEntry, values: Mapping[str, Any]) -> str:
    default = _yaml_text(field.default)
    if field.key not in values or values[field.key] == field.default:
        return default
    return f"{_yaml_text(values[field.key])} # default {default}"


def _groups(task: Task | None, always: Collection[str] = ()) -> Iterator[tuple[SectionEntry, list[FieldEntry]]]:
    """Yield the sections with their own fields, outer before inner; skips sections without fields.

    Args:
        task: fields that it does not read are left out.
        always: keys of fields that stay nevertheless.
    """
    for section in (_GENERAL, *spec_sections()):
        fields = [field for field in spec_fields() if field.section == section.key]
        kept = [field for field in fields if task is None or task in field.tasks or field.key in always]
        if kept:
            yield section, kept


def _default_cell(field: FieldEntry) -> str:
    return f"`{_yaml_text(field.default)}`{_OR_THE_CHECKPOINTS if field.from_checkpoint else ''}"


def _sentence(field: FieldEntry, task: Task | None) -> str:
    return f"{_meaning(field, task)} ({_type_and_limits(field)})"


def _meaning(field: FieldEntry, task: Task | None) -> str:
    is_required = task is not None and field.key in REQUIRED_PATHS[task]
    return f"Required. {field.description}" if is_required else field.description


def _type_and_limits(field: FieldEntry) -> str:
    if not field.allowed:
        return field.type_text
    if field.type_text == "text":
        return f"one of: {field.allowed}"
    return f"{field.type_text}, {field.allowed}"


def _comment(text: str, indent: str) -> list[str]:
    return [f"{indent}# {line}" for line in _wrap(text, _COMMENT_WIDTH - len(indent) - 2)]


def _wrap(text: str, width: int) -> list[str]:
    """Wrap to at most ``width`` characters without breaks between a sign and its number or in a hyphenated name."""
    glued = re.sub(r"([<>]=?) ", "\\1\N{NO-BREAK SPACE}", text)
    lines = textwrap.wrap(glued, max(width, 1), break_long_words=False, break_on_hyphens=False)
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in lines]


def _yaml_text(value: Any) -> str:
    if isinstance(value, float):
        return _float_text(value)
    if isinstance(value, list):
        return f"[{', '.join(_yaml_text(item) for item in value)}]"
    return json.dumps(value)


def _float_text(value: float) -> str:
    text = repr(value) if value < 1e6 else f"{value:g}"
    mantissa, exponent_sign, exponent = text.partition("e")
    # YAML 1.1 readers parse a number without a point as a string.
    return text if "." in mantissa else f"{mantissa}.0{exponent_sign}{exponent}"


def _without_private_keys(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _without_private_keys(inner) for key, inner in node.items() if not key.startswith("x-")}
    if isinstance(node, list):
        return [_without_private_keys(inner) for inner in node]
    return node
