"""Load a spec: YAML file and overrides to a validated `ExperimentSpec`, with required paths checked; and save it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from mal.config.catalog import section_keys, spec_fields
from mal.config.fields import Task, path_text
from mal.config.problems import dotted_key, message
from mal.config.references import resolve_references
from mal.config.schema import DEFAULT_RESULTS_DIR, ExperimentSpec
from mal.config.source import Origin, SpecSource, add_overrides, put_value, read_spec_file
from mal.errors import SpecError, UserError
from mal.files import atomic_file
from mal.paths import is_url


def stored_values(spec: ExperimentSpec, *, is_stored: Callable[[str, Any], bool]) -> dict[str, Any]:
    """The spec as plain values.

    Args:
        spec: the loaded spec.
        is_stored: whether a value that came from the environment, given by dotted key and value, is replaced by its
            reference.
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
    """The value of a dotted key with indices, such as ``train.gpu_ids[0]``; None if there is none."""
    try:
        for part in _parts(key):
            values = values[part]
    except (KeyError, IndexError, TypeError):
        return None
    return values


def _parts(key: str) -> list[str | int]:
    return [int(part) if part.isdecimal() else part for part in re.split(r"[.\[\]]+", key) if part]


_WEIGHT_SUFFIXES = (".pth", ".pt", ".ckpt", ".bin", ".safetensors", ".tar", ".hdf5", ".tlt")
_NOUNS: dict[Task, str] = {"train": "training", "evaluate": "evaluation", "inference": "inference"}


REQUIRED_PATHS: dict[Task, tuple[str, ...]] = {
    "train": ("dataset.train_ann_path", "dataset.train_img_dir"),
    "evaluate": ("evaluate.checkpoint", "dataset.val_ann_path", "dataset.val_img_dir"),
    "inference": ("inference.checkpoint", "inference.ann_path", "inference.img_dir"),
}

# These may be URLs, which are not checked before they are read.
URLS_TAKEN = (
    *("dataset.train_ann_path", "dataset.train_img_dir", "dataset.val_ann_path", "dataset.val_img_dir"),
    *("dataset.masks_ann_path", "inference.ann_path", "inference.img_dir"),
)


def check_task_paths(source: SpecSource, task: Task) -> None:
    """Add missing paths of ``task``, and an unusable results folder, to the source's problems.

    Works on raw values, so that these problems are reported together with those of other fields.
    """
    for key in REQUIRED_PATHS[task]:
        if not (key.endswith("img_dir") and _may_be_left_out(source, key)):
            _need(source, key, f"must be given for {_NOUNS[task]}")
    if task == "train":
        _check_optional_training_paths(source)
    _check_results_dir(source, task)


def _check_optional_training_paths(source: SpecSource) -> None:
    if _path(source, "dataset.val_ann_path") or _path(source, "dataset.val_img_dir"):
        _need(source, "dataset.val_ann_path", "must be given together with dataset.val_img_dir, or neither")
        if not _may_be_left_out(source, "dataset.val_img_dir"):
            _need(source, "dataset.val_img_dir", "must be given together with dataset.val_ann_path, or neither")
    if _path(source, "dataset.masks_ann_path"):
        _need(source, "dataset.masks_ann_path", "")
    if _path(source, "train.resume_training_checkpoint_path"):
        _need(source, "train.resume_training_checkpoint_path", "")
    # Anything else may be the name of a model to download.
    if (_path(source, "train.pretrained_model_path") or "").endswith(_WEIGHT_SUFFIXES):
        _need(source, "train.pretrained_model_path", "")


def _path(source: SpecSource, key: str) -> str | None:
    value: Any = path_text(source.value(key))
    return value if isinstance(value, str) else None


def _need(source: SpecSource, key: str, when_absent: str) -> None:
    text = _path(source, key)
    wanted, other = ("folder", "file") if key.endswith("_dir") else ("file", "folder")
    if text is None:
        _report_absent(source, key, when_absent)
    elif is_url(text) and key in URLS_TAKEN:
        return  # a request takes time and packages
    elif not Path(text).exists() and not (key.endswith("ann_path") and any(sign in text for sign in "*?[")):
        source.report(key, f"no such {wanted}: {source.shown(key, text)}")
    elif key.endswith("ann_path"):
        _check_format(source, key, text)
    elif Path(text).is_dir() != (wanted == "folder"):
        source.report(key, f"{source.shown(key, text)} is a {other}; must be a {wanted}")


def _may_be_left_out(source: SpecSource, key: str) -> bool:
    """Whether an image folder is not given, and the annotations are in a format that may say it itself."""
    ann_key = key.replace("img_dir", "ann_path")
    text = _path(source, ann_key)
    if _path(source, key) is not None or text is None:
        return False
    return Path(text).is_dir() or _format_and_problem(source, ann_key, text)[0] not in (None, "coco")


def _check_format(source: SpecSource, key: str, text: str) -> None:
    _, problem = _format_and_problem(source, key, text)
    if problem is not None:
        source.report(key, problem.replace(text, source.shown(key, text)))


def _format_and_problem(source: SpecSource, key: str, text: str) -> tuple[str | None, str | None]:
    """The format of annotations, or why it is not clear."""
    from mal.formats.recognize import source_format  # heavy, and not needed to read a spec

    format_key = key.replace("ann_path", "ann_format")
    given = source.value(format_key)
    try:
        return source_format(text, given if isinstance(given, str) else None), None
    except UserError as error:
        return None, str(error).replace("--from", format_key)


def _report_absent(source: SpecSource, key: str, when_absent: str) -> None:
    section_value = source.value(key.rpartition(".")[0])
    if key in source.reported:
        return  # the given value could not be read
    if source.value(key) in (None, "") and (section_value is None or isinstance(section_value, dict)):
        source.report(key, when_absent)


def _check_results_dir(source: SpecSource, task: Task) -> None:
    own = _path(source, f"{task}.results_dir")
    key = f"{task}.results_dir" if own else "results_dir"
    folder = Path(own or _path(source, "results_dir") or DEFAULT_RESULTS_DIR).absolute()
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    part = "a part of it" if key in source.references else str(existing)
    if not existing.is_dir():
        source.report(key, f"{source.shown(key, folder)} cannot be a folder: {part} is a file")
    elif not os.access(existing, os.W_OK | os.X_OK):
        source.report(key, f"{source.shown(key, folder)} cannot be written: no permission for {part}")


def load_spec(path: Path | None, overrides: Sequence[str] = (), *, task: Task | None = None) -> ExperimentSpec:
    """Load and validate a spec.

    Args:
        path: YAML file; None starts from the defaults.
        overrides: ``train.lr=1e-4`` and the like; later ones win.
        task: the task to run; its required paths must be given and exist.

    Raises:
        SpecError: lists every problem, one line each, in the order of the file, then of the overrides.
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
    """Build a spec from values by dotted key.

    Raises:
        SpecError: as in `load_spec`; each problem begins with the key.
    """
    source = SpecSource("")
    for order, (key, value) in enumerate(values.items()):
        put_value(source, key, value, Origin((1, order), f"override {key}"))
    spec = _validated(source)
    if spec is None:
        raise SpecError([problem.text.removeprefix("override ") for problem in source.problems])
    return spec


def save_spec(spec: ExperimentSpec, path: Path) -> None:
    """Write the spec atomically as YAML, with every default filled in and secrets left out.

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
    """Drop sections whose fields are all commented out: they read as null and mean their defaults."""
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
