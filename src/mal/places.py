"""Where input files lie: on this machine's disks, or behind a URL that fsspec reads (s3://, gs://, https:// ...)."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path
from typing import cast

from mal.errors import UserError, one_line


def is_url(text: object) -> bool:
    """Whether a path is a URL, as text or as `place` made it."""
    return "://" in str(text)


def place(text: str | Path) -> Path:
    """The path of a file or folder to read.

    Args:
        text: a path, or a URL of any file system that fsspec knows; ``file://`` is this machine.

    Returns:
        A `pathlib.Path`; for other machines' URLs a ``UPath`` of universal-pathlib, which reads in the same words but
        is no name that the operating system knows.

    Raises:
        UserError: the package that reads such URLs is missing, or there is none.
    """
    if not is_url(text):
        return Path(text)
    try:
        from upath import UPath
    except ImportError as error:
        raise UserError(f"{text}: URLs need two packages more: pip install 'mask-auto-labeler[cloud]'") from error
    try:
        found = UPath(text)
        assert found.fs is not None  # made now, so that a missing package is told before the work begins
    except (ImportError, ValueError) as error:
        raise UserError(f"{text}: cannot be read here: {error}") from error
    return Path(found.path) if found.protocol in ("file", "local") else cast(Path, found)


def on_this_disk(path: Path) -> Path:
    """A file of this machine with the same content: ``path`` itself, or a copy that goes when the process ends.

    Raises:
        UserError: it cannot be fetched.
    """
    if not is_url(path):
        return path
    folder = Path(tempfile.mkdtemp(prefix="mal-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    copy = folder / path.name
    try:
        with path.open("rb") as source, copy.open("wb") as target:
            shutil.copyfileobj(source, target, length=2**20)
    # Every store has errors of its own.
    except Exception as error:
        raise UserError(f"{path}: cannot be read: {one_line(error)}") from error
    return copy
