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
    if target.is_file() and not overwrite:
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
    if not target.exists():
        draft.replace(target)
        return
    for path in sorted(draft.rglob("*")):
        place = target / path.relative_to(draft)
        if path.is_dir() and not path.is_symlink():
            place.mkdir(exist_ok=True)
        else:
            path.replace(place)
