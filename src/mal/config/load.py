"""From a YAML file and overrides to a checked spec, and back to a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from mal.config.catalog import section_keys
from mal.config.fields import Task
from mal.config.problems import dotted_key, message
from mal.config.references import resolve_references
from mal.config.required import check_task_paths
from mal.config.schema import ExperimentSpec
from mal.config.source import Origin, SpecSource, add_overrides, put_value, read_spec_file
from mal.config.stored import stored_values, value_at
from mal.errors import SpecError
from mal.files import atomic_file


def load_spec(path: Path | None, overrides: Sequence[str] = (), *, task: Task | None = None) -> ExperimentSpec:
    """Loads and checks a spec.

    Args:
        path: YAML file; None starts from the defaults.
        overrides: ``train.lr=1e-4`` and the like; later ones win.
        task: the task to run; the paths that it needs must then be given and exist.

    Raises:
        SpecError: with every problem, one line each, in the order of the file and then of the overrides.
    """
    source = read_spec_file(path) if path is not None else SpecSource("spec")
    add_overrides(source, overrides)
    resolve_references(source)
    if task is not None:
        check_task_paths(source, task)
    spec = _validated(source)
    if spec is None or source.problems:
        raise SpecError([problem.text for problem in sorted(source.problems, key=lambda problem: problem.order)])
    return spec


def spec_from_values(values: Mapping[str, Any]) -> ExperimentSpec:
    """The spec in which these dotted keys have these values.

    Raises:
        SpecError: as `load_spec`; a problem begins with the key.
    """
    source = SpecSource("")
    for order, (key, value) in enumerate(values.items()):
        put_value(source, key, value, Origin((1, order), f"override {key}"))
    spec = _validated(source)
    if spec is None:
        raise SpecError([problem.text.removeprefix("override ") for problem in source.problems])
    return spec


def save_spec(spec: ExperimentSpec, path: Path) -> None:
    """Writes the spec as YAML with every default filled in and secrets left out.

    The file is complete or not there: it is written beside its place and moved.

    Raises:
        UserError: the file cannot be written.
    """
    with atomic_file(path) as file:
        file.write(_saved_text(spec).encode("utf-8"))


def _validated(source: SpecSource) -> ExperimentSpec | None:
    try:
        spec = ExperimentSpec.model_validate(_without_empty_sections(source.values))
        values = spec.model_dump(mode="json")
        spec.references.update({key: (text, value_at(values, key)) for key, text in source.references.items()})
        return spec
    except ValidationError as error:
        for detail in error.errors():
            key = dotted_key(detail["loc"])
            source.report(key, message(key, detail, as_written=source.references.get(key)))
    return None


def _without_empty_sections(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A section whose fields are all commented out reads as null and means its defaults."""
    kept = {}
    for name, value in values.items():
        is_section = prefix + name in section_keys()
        if is_section and isinstance(value, dict):
            value = _without_empty_sections(value, f"{prefix}{name}.")
        if not (is_section and value is None):
            kept[name] = value
    return kept


def _saved_text(spec: ExperimentSpec) -> str:
    values = stored_values(spec, is_stored=lambda key, value: True)
    heading = (
        "# The spec of this run with every default filled in; secrets are never saved, and of what came from the"
        " environment the reference.\n"
    )
    return heading + yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
