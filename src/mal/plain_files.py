"""Read files that others name: plain ones, which have an end, and no more bytes of them than allowed."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import BinaryIO

from mal.errors import UserError
from mal.places import is_url

_PIECE = 4 * 2**20


def open_plain(path: Path, called: str) -> BinaryIO:
    """Open a file of a disk or behind a URL for reading.

    Args:
        path: of the file; symbolic links are followed.
        called: what the file is called in the error.

    Raises:
        UserError: it is a pipe, a socket or a device: opening one may wait for ever, and reading one never end.
        OSError: it cannot be opened, or is a folder.
    """
    if not is_url(path):
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise UserError(f"{called} is no plain file but a {_kind(mode)}: nothing is read from it")
    return path.open("rb")


def read_up_to(file: BinaryIO, max_bytes: int, called: str) -> bytes:
    """All bytes of an open file.

    Args:
        file: where to read on.
        max_bytes: how many it may have.
        called: what the file is called in the error.

    Raises:
        UserError: it has more.
    """
    pieces: list[bytes] = []
    left = max_bytes
    while piece := file.read(_PIECE):
        pieces.append(piece)
        left -= len(piece)
        if left < 0:
            raise UserError(f"{called} has more than {max_bytes / 2**30:.3g} GiB, the most that is read of such a file")
    return b"".join(pieces)


def _kind(mode: int) -> str:
    if stat.S_ISFIFO(mode):
        return "pipe"
    return "socket" if stat.S_ISSOCK(mode) else "device"
