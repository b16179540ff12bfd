"""Read untrusted paths: regular files only, and at most a given number of bytes."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import BinaryIO

from mal.errors import UserError
from mal.paths import is_url

_PIECE = 4 * 2**20


def open_plain(path: Path, called: str) -> BinaryIO:
    """Open a file on disk or behind a URL for reading.

    Args:
        path: path of the file; symbolic links are followed.
        called: name of the file in errors.

    Raises:
        UserError: it is a pipe, a socket or a device, which may block or be endless.
        OSError: it cannot be opened, or is a folder.
    """
    if not is_url(path):
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise UserError(f"{called} is no plain file but a {_kind(mode)}: nothing is read from it")
    return path.open("rb")


def read_up_to(file: BinaryIO, max_bytes: int, called: str) -> bytes:
    """Read all remaining bytes of an open file.

    Args:
        file: the open file.
        max_bytes: largest allowed number of bytes.
        called: name of the file in errors.

    Raises:
        UserError: the file is larger.
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
