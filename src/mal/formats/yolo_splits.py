"""Split images into train and val, and make the ``data.yaml`` of a YOLO data set."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from mal.bounded_yaml import load_yaml
from mal.errors import UserError
from mal.formats.text_file import read_text_file

SPLITS = ("train", "val", "test")
DESCRIPTION = "data.yaml"  # the name that trainers, Roboflow and datumaro look for


def validation_images(names: Iterable[PurePosixPath], share: float) -> set[PurePosixPath]:
    """Choose validation images by a hash of their names, so that adding images does not move others.

    Args:
        names: of all images, without their endings, since labels go by those.
        share: of them, 0..1; above 0 at least one is chosen of two and more, and one is left.
    """
    by_hash = sorted((_hash(name), name) for name in set(names))
    chosen = {name for number, name in by_hash if number < share}
    if share > 0 and len(by_hash) > 1:
        chosen = (chosen | {by_hash[0][1]}) - {by_hash[-1][1]}
    return chosen


def description(names: list[str], splits: Iterable[str], out: Path) -> dict[str, Any]:
    """Make the content of ``data.yaml``: image folders by split, relative to the file, and class names by number.

    Trainers ask for ``train`` and ``val``: one that is not there names the pictures of another. There is no ``path``,
    since a relative one is taken from the folder that a trainer starts in.

    Args:
        names: of the classes.
        splits: that are written.
        out: the folder of output; splits that lie in it already are named too.

    Raises:
        UserError: those have other classes.
    """
    there = _own_description(out)
    if there is not None and there["names"] != dict(enumerate(names)):
        raise UserError(f"{out / DESCRIPTION} has other classes, so that their numbers would differ: give another OUT")
    known = {split for split in SPLITS if there is not None and there.get(split) == _picture_folder(split)}
    existing = [split for split in SPLITS if split in known | set(splits)]
    folders = {split: _picture_folder(split if split in existing else existing[0]) for split in SPLITS[:2]}
    return folders | {split: _picture_folder(split) for split in existing} | {"names": dict(enumerate(names))}


def adds_a_split(out: Path, split: str | None) -> bool:
    """Whether the split can be added to a data set that `mal` has written: it does not exist there yet."""
    is_new = split is not None and not any((out / kind / split).exists() for kind in ("images", "labels"))
    return is_new and _own_description(out) is not None


def as_yaml(document: dict[str, Any]) -> bytes:
    """The text of ``data.yaml``, from which the same document is read again."""
    # Written as they are, these come back as other line breaks.
    has_breaks = any(mark in str(name) for mark in "\x85\u2028\u2029" for name in document["names"].values())
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=not has_breaks).encode()


def _own_description(out: Path) -> dict[str, Any] | None:
    """The ``data.yaml`` of a folder; None if it is missing or not written by `mal`."""
    file = out / DESCRIPTION
    if not file.is_file():
        return None
    try:
        document = load_yaml(read_text_file(file))
    except (UserError, ValueError, yaml.YAMLError):
        return None  # whatever it is, it is not one of ours
    is_own = isinstance(document, dict) and set(document) <= {*SPLITS, "names"} and "names" in document
    return document if is_own else None


def _picture_folder(split: str) -> str:
    return f"images/{split}"


def _hash(name: PurePosixPath) -> float:
    """Hash a name to a number 0..1, the same on every machine."""
    return int.from_bytes(hashlib.sha256(name.as_posix().encode()).digest()[:6], "big") / 2**48
