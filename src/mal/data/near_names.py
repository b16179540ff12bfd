"""Suggest the file that was probably meant when one does not exist."""

from __future__ import annotations

import os
import unicodedata
from collections import deque
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote

from mal.limits import MAX_LISTED_FILES
from mal.paths import is_url

Parts = tuple[str, ...]


def near_hint(path: Path) -> str:
    """Name a similar file, as the end of a sentence about one that does not exist; empty if there is none.

    Names are alike that differ in case, in the Unicode form of letters (NFC, NFD), in backslashes for slashes, in
    percent signs for characters, or in folders in front of them. The nearest folder that exists is listed, once.

    Args:
        path: of the file; behind a URL nothing is looked for.
    """
    if is_url(path):
        return ""
    folder = next((parent for parent in path.parents if parent.is_dir()), None)
    if folder is None:
        return ""
    wanted = str(path.relative_to(folder))
    near = _near_name(folder, wanted)
    if near is None:
        return ""
    form = ", the same name in another Unicode form" if _composed(near) == _composed(wanted) else ""
    return f"; {_printable(folder / near)} is there{form}"


def near_hint_in(folder: Path, file_name: str) -> str:
    """`near_hint` for a name that cannot lie in a folder, such as a path of another machine."""
    can_be_listed = not is_url(folder) and "\0" not in file_name and folder.is_dir()
    near = _near_name(folder, file_name) if can_be_listed else None
    return "" if near is None else f"; {_printable(near)} is there"


def _near_name(folder: Path, wanted: str) -> str | None:
    parts = _plain_parts(wanted)
    if not parts:
        return None
    alike = [
        (len(found), name)
        for found, name in _listing(folder.absolute(), folder.stat().st_mtime_ns).get(parts[-1], ())
        if found[-len(parts) :] == parts or parts[-len(found) :] == found
    ]
    return max(alike, key=lambda found: (min(found[0], len(parts)), -found[0], found[1]), default=(0, None))[1]


@lru_cache(maxsize=16)
def _listing(folder: Path, changed: int) -> dict[str, list[tuple[Parts, str]]]:
    """The files in a folder and below it, nearest first and not more than a limit, by the plain form of their names."""
    found: dict[str, list[tuple[Parts, str]]] = {}
    waiting, count = deque([folder]), 0
    while waiting and count < MAX_LISTED_FILES:
        try:
            with os.scandir(waiting.popleft()) as entries:
                for entry in entries:
                    count += 1
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(Path(entry.path))
                        continue
                    name = os.path.relpath(entry.path, folder)
                    parts = _plain_parts(name)
                    found.setdefault(parts[-1], []).append((parts, name))
        except OSError:  # a folder that may not be listed has no hints
            continue
    return found


def _plain_parts(name: str) -> Parts:
    plain = _composed(unquote(name).replace("\\", "/")).casefold()
    return tuple(part for part in plain.split("/") if part not in ("", "."))


def _printable(name: str | Path) -> str:
    """Make a file name printable; its bytes may not be text."""
    return str(name).encode("utf-8", "backslashreplace").decode("utf-8")


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)
