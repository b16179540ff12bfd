"""Local paths and URLs: one type for input files on a disk or behind fsspec (s3://, gs://, https:// ...)."""

from __future__ import annotations

import atexit
import posixpath
import shutil
import tempfile
from pathlib import Path
from typing import cast
from urllib.parse import quote, unquote

from mal.errors import UserError, one_line

_QUOTED = ("http", "https")  # names in these are parts of a URL; other stores take names as they are
_CHAIN = "::"  # fsspec reads what stands behind it from another place


def is_url(text: object) -> bool:
    """Whether a path is a URL, as text or as `to_path` made it."""
    return "://" in str(text)


def to_path(text: str | Path) -> Path:
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


def path_below(folder: Path, name: str) -> Path | None:
    """The place of a file in a folder behind a URL: whatever is in its name, it names a file there.

    Args:
        folder: as `to_path` made it.
        name: with ``/`` between its parts, not quoted.

    Returns:
        The file's place, its name quoted for stores whose names are URLs; None where the name leads out of the folder,
        in percent form too, or where the store would take it for more than a name.
    """
    inside = posixpath.normpath(name)
    if "\0" in name or inside == "." or inside.startswith("/") or is_url(name) or _leads_up(name):
        return None
    if folder.protocol in _QUOTED:  # type: ignore[attr-defined]
        return folder / "/".join(quote(part, safe="") for part in inside.split("/"))
    if _CHAIN in inside:
        return None
    from upath import UPath

    base = str(folder).rstrip("/")
    try:
        found = UPath(f"{base}/{inside}", **folder.storage_options)  # type: ignore[attr-defined]
    except (ValueError, TypeError):
        return None
    return cast(Path, found) if str(found) == f"{base}/{inside}" else None


def _leads_up(name: str) -> bool:
    """Whether a name, as it is or with its percent forms read any number of times, steps out of its folder."""
    if posixpath.normpath("/".join(_parts(name))).split("/")[0] == "..":
        return True
    while (read := unquote(name)) != name:
        name = read
        if ".." in _parts(name):
            return True
    return False


def _parts(name: str) -> list[str]:
    return name.replace("\\", "/").split("/")


def local_copy(path: Path) -> Path:
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
