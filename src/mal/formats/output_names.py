"""Safe output file names: inside the output folder, unique per record, never through a link."""

from __future__ import annotations

import ntpath
import os
import posixpath
import unicodedata
from collections.abc import Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

_LONGEST_PART = 255  # bytes of a name, without its folders, on nearly all file systems


class RefusedName(ValueError):  # noqa: N818 -- the record is at fault, not the program
    """The file name of a record is unsafe or taken; the text says why."""


def relative_name(file_name: str, images: Path | None) -> PurePosixPath:
    """Where the picture of a record lies below the folder of the pictures, without ``.`` and ``..``.

    Args:
        file_name: as in the record.
        images: the folder of the pictures, from which an absolute name may be taken.

    Raises:
        RefusedName: it is absolute and not in ``images``, or leads out of the folder, here or on Windows.
    """
    if images is not None and Path(file_name).is_absolute():
        path, folder = Path(os.path.normpath(file_name)), Path(os.path.normpath(images.absolute()))
        if path.is_relative_to(folder):
            file_name = path.relative_to(folder).as_posix()
    if posixpath.isabs(file_name) or PureWindowsPath(file_name).anchor:
        raise RefusedName("the file name of its image is absolute, not one below the folder of the pictures")
    name = posixpath.normpath(file_name)
    if name == "." or "\0" in name:
        raise RefusedName("the file name of its image names no file")
    if name.startswith("../") or name == ".." or ntpath.normpath(file_name).startswith(".."):
        raise RefusedName("the file name of its image leads out of the folder")
    return PurePosixPath(name)


class OutputNames:
    """Reserve each output file for one record; all paths made from record text are made here.

    Args:
        folder: of the output; None for an archive, whose names lie nowhere.
        own: files of the writer itself, which no record gets, in whatever case it spells them.
    """

    def __init__(self, folder: Path | None, own: Sequence[str] = ()) -> None:
        self._folder = folder
        self._own = {_folded(PurePosixPath(name)) for name in own}
        self._owners: dict[PurePosixPath, str] = {}  # of files, and of the folders around them
        self._files: set[PurePosixPath] = set()

    def take(self, name: PurePosixPath, owner: str) -> PurePosixPath:
        """Reserve a name for one record.

        Args:
            name: relative, as of `relative_name`, maybe with another ending and below further folders.
            owner: the record in the words of messages.

        Raises:
            RefusedName: it is taken, or a file cannot have it.
        """
        folders = list(name.parents)[:-1]
        if any(_folded(path) in self._own for path in (name, *folders)):
            raise RefusedName(f"its file {name} would be one that the format needs for itself: rename it")
        taken = next((path for path in folders if path in self._files), name)
        if taken in self._owners:
            raise RefusedName(f"{self._owners[taken]} and {owner} would share the file {name}: rename one of them")
        if any(len(os.fsencode(part)) > _LONGEST_PART for part in name.parts):
            raise RefusedName(f"its file would have a longer name than file systems take ({_LONGEST_PART} bytes)")
        self._files.add(name)
        self._owners |= {path: owner for path in (*folders, name) if path not in self._owners}
        return name

    def take_path(self, name: PurePosixPath, owner: str) -> Path:
        """`take` a name for a file of the folder, and make the folders around it.

        Raises:
            RefusedName: as of `take`, or the file system takes the name for that of another file, or not at all.
        """
        assert self._folder is not None, "an archive has no paths"
        path = self._folder / self.take(name, owner)
        path.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(path):
            raise RefusedName(f"its file {name} is that of another record on this file system: rename one of them")
        return path


def _folded(name: PurePosixPath) -> str:
    """The name as file systems compare it that care for neither case nor the composition of characters."""
    return unicodedata.normalize("NFC", name.as_posix()).casefold()
