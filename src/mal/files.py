"""Files that are whole or not there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from mal.errors import UserError


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that takes its name only when it is complete.

    Until the block ends without an error, ``path`` keeps its old content. Missing folders are made.

    Raises:
        UserError: it cannot be written (no permission, full disk, ``path`` is a folder).
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        _remove(draft)


def _remove(draft: Path) -> None:
    # After success the draft is gone; where its folder could not be made or read, it never existed.
    if os.access(draft, os.F_OK):
        draft.unlink()
