"""Read files that others name: plain ones, which have an end, and no more bytes of them than allowed."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

from mal.errors import UserError
from mal.limits import MAX_IMAGE_PIXELS
from mal.paths import is_url

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


Exif = Literal["stored", "upright"]
GrayRange = Literal["full", "used"]

DEFAULT_MEGAPIXELS = MAX_IMAGE_PIXELS / 1e6


@dataclass(frozen=True, slots=True)
class Reading:
    """How pictures are read.

    Attributes:
        exif: pixels as they are stored, as COCO's sizes and boxes go by; or upright, as viewers turn them by their EXIF
            orientation. The same for every format.
        gray_range: which values of grey with more than 8 bits become black and white: the ends of the full range of 16
            bits, or the smallest and the largest value that the picture uses.
        max_pixels: how many a picture may have.
    """

    exif: Exif = "stored"
    gray_range: GrayRange = "full"
    max_pixels: int = MAX_IMAGE_PIXELS

    @classmethod
    def of(cls, exif: Exif, gray_range: GrayRange, max_megapixels: float) -> Reading:
        """From the fields of a spec or the options of a command."""
        return cls(exif, gray_range, int(max_megapixels * 1e6))

    @classmethod
    def of_saved(cls, dataset: Mapping[str, Any]) -> Reading:
        """From the section ``dataset`` of a saved spec; what an earlier version did not know has its default."""
        return cls.of(
            dataset.get("exif", "stored"),
            dataset.get("gray_range", "full"),
            dataset.get("max_megapixels", DEFAULT_MEGAPIXELS),
        )


AS_STORED = Reading()
