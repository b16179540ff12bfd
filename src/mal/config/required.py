"""The paths that a task cannot do without: given, and there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from mal.config.fields import Task, path_text
from mal.config.schema import DEFAULT_RESULTS_DIR
from mal.config.source import SpecSource

_WEIGHT_SUFFIXES = (".pth", ".pt", ".ckpt", ".bin", ".safetensors", ".tar", ".hdf5", ".tlt")


def check_task_paths(source: SpecSource, task: Task) -> None:
    """Adds to the source's problems the paths of ``task`` that are missing, and its results folder if unusable.

    Works on raw values, so that these problems are told together with those of the other fields.
    """
    if task == "train":
        _check_training(source)
    elif task == "evaluate":
        _need_file(source, "evaluate.checkpoint")
        _need_file(source, "dataset.val_ann_path")
        _need_folder(source, "dataset.val_img_dir")
    else:
        _need_file(source, "inference.checkpoint")
        _need_file(source, "inference.ann_path")
        _need_folder(source, "inference.img_dir")
    _check_results_dir(source, task)


def _check_training(source: SpecSource) -> None:
    _need_file(source, "dataset.train_ann_path")
    _need_folder(source, "dataset.train_img_dir")
    if _path(source, "dataset.val_ann_path") or _path(source, "dataset.val_img_dir"):
        _need_file(source, "dataset.val_ann_path", "must be given together with dataset.val_img_dir, or neither")
        _need_folder(source, "dataset.val_img_dir", "must be given together with dataset.val_ann_path, or neither")
    if _path(source, "train.resume_training_checkpoint_path"):
        _need_file(source, "train.resume_training_checkpoint_path")
    pretrained = _path(source, "train.pretrained_model_path")
    if pretrained and pretrained.endswith(_WEIGHT_SUFFIXES):
        _need_file(source, "train.pretrained_model_path")


def _path(source: SpecSource, key: str) -> str | None:
    value: Any = path_text(source.value(key))
    return value if isinstance(value, str) else None


def _need_file(source: SpecSource, key: str, when_absent: str = "must be given for this task") -> None:
    path = _path(source, key)
    if path is None:
        _report_absent(source, key, when_absent)
    elif Path(path).is_dir():
        source.report(key, f"{path} is a folder; must be a file")
    elif not Path(path).exists():
        source.report(key, f"no such file: {path}")


def _need_folder(source: SpecSource, key: str, when_absent: str = "must be given for this task") -> None:
    path = _path(source, key)
    if path is None:
        _report_absent(source, key, when_absent)
    elif not Path(path).exists():
        source.report(key, f"no such folder: {path}")
    elif not Path(path).is_dir():
        source.report(key, f"{path} is a file; must be a folder")


def _report_absent(source: SpecSource, key: str, when_absent: str) -> None:
    section_value = source.value(key.rpartition(".")[0])
    if source.value(key) in (None, "") and (section_value is None or isinstance(section_value, dict)):
        source.report(key, when_absent)


def _check_results_dir(source: SpecSource, task: Task) -> None:
    own = _path(source, f"{task}.results_dir")
    key = f"{task}.results_dir" if own else "results_dir"
    folder = Path(own or _path(source, "results_dir") or DEFAULT_RESULTS_DIR).absolute()
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not existing.is_dir():
        source.report(key, f"{folder} cannot be a folder: {existing} is a file")
    elif not os.access(existing, os.W_OK | os.X_OK):
        source.report(key, f"{folder} cannot be written: no permission for {existing}")
