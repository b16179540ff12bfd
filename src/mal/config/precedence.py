"""Which value of a field that decides masks counts: command line, then spec file, then checkpoint, then default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from mal.config.catalog import FieldEntry, field_by_key
from mal.config.fields import Section, Task
from mal.config.problems import shown
from mal.config.schema import ExperimentSpec

_ONE_CHOICE = (("use_mixed_model_test", "use_teacher_test"),)
"""Names of fields that make one choice together: where a section gives one, the checkpoint's others do not count."""


@dataclass(frozen=True, slots=True)
class EffectiveSpec:
    """A spec that is complete once a checkpoint has been asked.

    Attributes:
        spec: the fields that were given, and the checkpoint's values of those that decide masks and were not.
        taken: these values, by dotted key.
        overruled: the checkpoint's values that do not count, since the spec says otherwise, by dotted key.
    """

    spec: ExperimentSpec
    taken: dict[str, Any]
    overruled: dict[str, Any]

    def log_lines(self, task: Task) -> list[str]:
        """What a person should know: at most a line on what was taken, and one on what was overruled.

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


def effective_spec(spec: ExperimentSpec, held: Mapping[str, Any]) -> EffectiveSpec:
    """Fill what a spec leaves open about masks.

    Args:
        spec: as the user gave it, command line and file together.
        held: the checkpoint's values by dotted key; a file of another program has few or none.
    """
    asked, taken, overruled = spec, dict[str, Any](), dict[str, Any]()
    for key, entry in field_by_key().items():
        if not entry.from_checkpoint or key not in held:
            continue
        filled = None if _is_decided(asked, entry) else _with_value(spec, entry, held[key])
        if filled is not None:
            spec, taken[key] = filled, held[key]
        elif field_value(spec, key) != held[key]:
            overruled[key] = held[key]
    return EffectiveSpec(spec, taken, overruled)


def extract_settings(spec: ExperimentSpec) -> dict[str, Any]:
    """The values of a checkpoint's spec that decide masks, by dotted key; without those that it does not give."""
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


def _is_decided(spec: ExperimentSpec, entry: FieldEntry) -> bool:
    together = next((names for names in _ONE_CHOICE if entry.name in names), (entry.name,))
    return bool(_section(spec, entry).model_fields_set.intersection(together))


def _with_value(spec: ExperimentSpec, entry: FieldEntry, value: Any) -> ExperimentSpec | None:
    """None where the value contradicts what was given."""
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
