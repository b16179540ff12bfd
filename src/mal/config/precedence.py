"""Precedence of the fields that decide masks: command line, then spec file, then checkpoint, then default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from mal.config.catalog import FieldEntry, field_by_key
from mal.config.fields import Section, Task
from mal.config.problems import shown
from mal.config.schema import ExperimentSpec

_ONE_CHOICE = (("use_mixed_model_test", "use_teacher_test"), ("use_crf_test", "refine"))
"""Fields that form one choice: if a section sets one, the checkpoint's values of the others are ignored."""
_OF_THE_NETWORK = {"dataset.crop_size"}
"""Fields outside the section ``model`` that a network needs as they were in its training."""


@dataclass(frozen=True, slots=True)
class EffectiveSpec:
    """A spec completed from a checkpoint.

    Attributes:
        spec: the given fields, and the checkpoint's values of fields that decide masks and were not given.
        taken: values from the checkpoint, by dotted key.
        overruled: the checkpoint's values that the spec overrides, by dotted key.
    """

    spec: ExperimentSpec
    taken: dict[str, Any]
    overruled: dict[str, Any]

    def log_lines(self, task: Task) -> list[str]:
        """Log lines: at most one on values from the checkpoint, and one on overridden values.

        Args:
            task: fields that it does not read are left out.
        """
        fields = field_by_key()
        taken = {key: value for key, value in self.taken.items() if task in fields[key].tasks}
        overruled = {key: value for key, value in self.overruled.items() if task in fields[key].tasks}
        special = {key: value for key, value in taken.items() if value != fields[key].default}
        lines = []
        if taken:
            named = ", ".join(f"{key} {shown(value)}" for key, value in special.items())
            others = len(taken) - len(special)
            rest = f"{others} {'more ' if special else ''}as they are by default" if others else ""
            lines.append(f"from the checkpoint: {'; '.join(filter(None, (named, rest)))}")
        if overruled:
            named = ", ".join(
                f"{key} is {shown(field_value(self.spec, key))}, in the checkpoint {shown(value)}"
                for key, value in overruled.items()
            )
            lines.append(f"warning: the spec goes before the checkpoint: {named}")
        return lines


def effective_spec(
    spec: ExperimentSpec, held: Mapping[str, Any], fixed: Mapping[str, Any] | None = None
) -> EffectiveSpec:
    """Fill open fields that decide masks from the checkpoint.

    With ``compat: tao`` only those of the network are filled; the others keep the public defaults.

    Args:
        spec: as the user gave it, command line and file together.
        held: the checkpoint's values by dotted key; a file of another program has few or none.
        fixed: values that the file cannot do without, such as which network it is; they go before ``held``, and
            ``compat`` does not touch them.
    """
    fixed = fixed or {}
    held = {**held, **fixed}
    asked, taken, overruled = spec, dict[str, Any](), dict[str, Any]()
    for key, entry in field_by_key().items():
        if not entry.from_checkpoint or key not in held:
            continue
        is_open = not _is_decided(asked, entry) and (key in fixed or not _is_public(asked, entry))
        filled = _with_value(spec, entry, held[key]) if is_open else None
        if filled is not None:
            spec, taken[key] = filled, held[key]
        elif field_value(spec, key) != held[key]:
            overruled[key] = held[key]
    return EffectiveSpec(spec, taken, overruled)


def extract_settings(spec: ExperimentSpec) -> dict[str, Any]:
    """Collect the fields that decide masks and that a checkpoint's spec sets, by dotted key."""
    return {
        key: field_value(spec, key)
        for key, entry in field_by_key().items()
        if entry.from_checkpoint and entry.name in _section(spec, entry).model_fields_set
    }


def field_value(spec: ExperimentSpec, key: str) -> Any:
    """The value of a dotted key."""
    value: Any = spec
    for name in key.split("."):
        value = getattr(value, name)
    return value


def _is_public(spec: ExperimentSpec, entry: FieldEntry) -> bool:
    """Whether ``compat`` keeps a field's public default."""
    return spec.compat == "tao" and entry.section != "model" and entry.key not in _OF_THE_NETWORK


def _is_decided(spec: ExperimentSpec, entry: FieldEntry) -> bool:
    together = next((names for names in _ONE_CHOICE if entry.name in names), (entry.name,))
    return bool(_section(spec, entry).model_fields_set.intersection(together))


def _with_value(spec: ExperimentSpec, entry: FieldEntry, value: Any) -> ExperimentSpec | None:
    """The spec with a value; None if it contradicts given fields."""
    section = _section(spec, entry)
    try:
        filled = type(section).model_validate(
            {**section.model_dump(include=section.model_fields_set), entry.name: value}
        )
    except ValidationError:
        return None
    return spec.model_copy(update={entry.section: filled})


def _section(spec: ExperimentSpec, entry: FieldEntry) -> Section:
    section: Section = getattr(spec, entry.section)
    return section
