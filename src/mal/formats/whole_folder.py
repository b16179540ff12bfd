"""A folder of output that is there when it is complete, and not before."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mal.errors import UserError
from mal.files import cannot_write


def check_target(target: Path, source: Path, *, overwrite: bool) -> None:
    """Refuse to write where something is.

    Raises:
        UserError: ``target`` is the input, or is there (a folder: with something in it) and ``overwrite`` is not set.
    """
    if target.exists() and target.resolve() == source.resolve():
        raise UserError(f"{target}: IN and OUT are the same; give OUT another name")
    if target.is_dir() and any(target.iterdir()) and not overwrite:
        raise UserError(
            f"{target} is a folder with something in it: give another one, or --overwrite to replace files of the same"
            " names in it"
        )
    if os.path.lexists(target) and not target.is_dir() and not overwrite:
        raise UserError(f"{target} is there already: give another name, or --overwrite to replace it")


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """A folder to write into that takes its name, or gives its files to the folder of that name, in the end.

    After an error nothing of it is left.

    Raises:
        UserError: it cannot be written.
    """
    draft: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists() and not target.is_dir():
            raise UserError(f"{target} is a file; this format is a folder: give another name")
        draft = target.with_name(f".{target.name}.{os.getpid()}.draft")
        draft.mkdir()
        yield draft
        _move(draft, target)
    except OSError as error:
        raise cannot_write(target, error) from error
    finally:
        if draft is not None:
            shutil.rmtree(draft, ignore_errors=True)


def _move(draft: Path, target: Path) -> None:
    if not os.path.lexists(target):
        draft.replace(target)
        return
    paths = sorted(draft.rglob("*"))
    for path in paths:
        _require_room(path, target / path.relative_to(draft))
    for path in paths:
        place = target / path.relative_to(draft)
        if _is_folder(path):
            place.mkdir(exist_ok=True)
        else:
            path.replace(place)


def _require_room(path: Path, place: Path) -> None:
    """Nothing, where a file of the draft can take the place of what is there, or a folder be put together with it.

    Raises:
        UserError: a folder is a file or a link there, through which files would be written elsewhere; or the other way
            round; or a picture would be replaced by a link to itself.
    """
    if _is_folder(path):
        if os.path.lexists(place) and not _is_folder(place):
            raise UserError(f"{place} is {'a link' if place.is_symlink() else 'a file'}, not a folder: remove it")
    elif _is_folder(place):
        raise UserError(f"{place} is a folder, and a file of this name is to be written: remove it")
    elif path.is_symlink() and not place.is_symlink() and os.path.realpath(path) == os.path.realpath(place):
        raise UserError(f"{place} is the picture that it would be a link to: give OUT another name")


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()
