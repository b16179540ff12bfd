"""The paths that a task cannot do without: given, and there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from mal.config.fields import Task, path_text
from mal.config.schema import DEFAULT_RESULTS_DIR
from mal.config.source import SpecSource

_WEIGHT_SUFFIXES = (".pth", ".pt", ".ckpt", ".bin", ".safetensors", ".tar", ".hdf5", ".tlt")
_NOUNS: dict[Task, str] = {"train": "training", "evaluate": "evaluation", "inference": "inference"}


REQUIRED_PATHS: dict[Task, tuple[str, ...]] = {
    "train": ("dataset.train_ann_path", "dataset.train_img_dir"),
    "evaluate": ("evaluate.checkpoint", "dataset.val_ann_path", "dataset.val_img_dir"),
    "inference": ("inference.checkpoint", "inference.ann_path", "inference.img_dir"),
}

# These may be URLs, which are not looked at before they are read.
URLS_TAKEN = (
    *("dataset.train_ann_path", "dataset.train_img_dir", "dataset.val_ann_path", "dataset.val_img_dir"),
    *("inference.ann_path", "inference.img_dir"),
)


def check_task_paths(source: SpecSource, task: Task) -> None:
    """Adds to the source's problems the paths of ``task`` that are missing, and its results folder if unusable.

    Works on raw values, so that these problems are told together with those of the other fields.
    """
    for key in REQUIRED_PATHS[task]:
        _need(source, key, f"must be given for {_NOUNS[task]}")
    if task == "train":
        _check_optional_training_paths(source)
    _check_results_dir(source, task)


def _check_optional_training_paths(source: SpecSource) -> None:
    if _path(source, "dataset.val_ann_path") or _path(source, "dataset.val_img_dir"):
        _need(source, "dataset.val_ann_path", "must be given together with dataset.val_img_dir, or neither")
        _need(source, "dataset.val_img_dir", "must be given together with dataset.val_ann_path, or neither")
    if _path(source, "train.resume_training_checkpoint_path"):
        _need(source, "train.resume_training_checkpoint_path", "")
    # Anything else may be the name of a model that is fetched.
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
    elif "://" in text and key in URLS_TAKEN:
        return  # asking the other machine takes time and packages
    elif not Path(text).exists():
        source.report(key, f"no such {wanted}: {source.shown(key, text)}")
    elif key.endswith("ann_path") and (said := _other_format(text, source.shown(key, text))) is not None:
        source.report(key, f"{source.shown(key, text)} {said}")
    elif Path(text).is_dir() != (wanted == "folder"):
        source.report(key, f"{source.shown(key, text)} is a {other}; must be a {wanted}")


def _other_format(text: str, shown: str) -> str | None:
    from mal.formats.other_format import other_format  # heavy, and of no use to who only reads a spec

    return other_format(text, shown)


def _report_absent(source: SpecSource, key: str, when_absent: str) -> None:
    section_value = source.value(key.rpartition(".")[0])
    if key in source.reported:
        return  # what was given could not be read
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
