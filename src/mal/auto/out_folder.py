"""The folder that `mal auto` writes: its files, and whether it may be written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mal.errors import UserError
from mal.files import write_json
from mal.formats.folders import is_pattern

_WORDS = {
    "source": "the source",
    "images": "the folder of the pictures",
    "boxes": "the boxes of the source",
    "checkpoint": "the checkpoint",
    "minutes": "--minutes",
    "reading": "how pictures are read",
}


@dataclass(frozen=True, slots=True)
class OutFolder:
    """The files of a run.

    Attributes:
        root: the folder.
    """

    root: Path

    @property
    def masks(self) -> Path:
        """The COCO file with the masks."""
        return self.root / "masks.json"

    @property
    def page(self) -> Path:
        """The report page; the review queue lies beside it."""
        return self.root / "report.html"

    @property
    def review(self) -> Path:
        """The masks to look at first, as a table."""
        return self.root / "review_queue.csv"

    @property
    def work(self) -> Path:
        """Everything from which the run goes on: conversion, training, shards."""
        return self.root / "work"

    @property
    def record(self) -> Path:
        """What the run was asked to do."""
        return self.work / "auto.json"


def default_out(source: Path) -> Path:
    """``<source>_masks`` beside the source, outside of the data set that it belongs to."""
    root = data_root(source)
    if root.name in ("", ".."):
        root = root.resolve()
    return root.with_name(f"{root.stem if root.is_file() else root.name}_masks")


def data_root(source: Path) -> Path:
    """The folder or file that is the data set: the folder of a pattern, of a list, or of a YOLO description."""
    while is_pattern(source):
        source = source.parent
    is_description = source.suffix.lower() in (".yaml", ".yml", ".data", ".txt")
    return source.parent if source.is_file() and is_description else source


def check_place(out: OutFolder, source: Path) -> None:
    """Check that a folder may be written for a source.

    Raises:
        UserError: it lies in the source, holds it, is a file, or holds something else than a run of `mal auto`.
    """
    root, data = out.root.resolve(), data_root(source).resolve()
    if data.is_dir() and root.is_relative_to(data):
        raise UserError(f"--out {out.root} lies inside the data set {source}: give a folder outside of it")
    if data.is_relative_to(root):
        raise UserError(f"--out {out.root} holds the data set {source} itself: give a folder of its own")
    if out.root.exists() and not out.root.is_dir():
        raise UserError(f"--out {out.root} is a file: give the name of a folder")
    if not out.record.is_file() and any(not path.is_dir() for path in out.root.rglob("*")):
        raise UserError(f"--out {out.root} has something in it that is not of `mal auto`: give another folder")


def begin(out: OutFolder, identity: Mapping[str, Any]) -> bool:
    """Record what a run is asked to do.

    Args:
        out: its folder.
        identity: everything that decides the masks, as JSON values.

    Returns:
        Whether the folder holds an earlier start of the same run.

    Raises:
        UserError: it holds another run, or cannot be written.
    """
    if not out.record.is_file():
        try:
            write_json(dict(identity), out.record)
        except UserError as error:
            raise UserError(f"{error}: give another folder with --out") from error
        return False
    try:
        before = json.loads(out.record.read_bytes())
        differing = [name for name in identity if before.get(name) != identity[name]]
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(f"{out.record} cannot be read ({error}): give another --out") from error
    if differing:
        shown = ", ".join(_WORDS.get(name, name) for name in differing)
        raise UserError(f"--out {out.root} holds another run of `mal auto`, with other values of {shown}: give another")
    return True
