"""Read untrusted paths: regular files only, and at most a given number of bytes."""

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


Exif = Literal["stored", "upright"]
GrayRange = Literal["full", "used"]

DEFAULT_MEGAPIXELS = MAX_IMAGE_PIXELS / 1e6


@dataclass(frozen=True, slots=True)
class Reading:
    """How images are read.

    Attributes:
        exif: ``stored`` pixels, to which COCO's sizes and boxes refer; or ``upright``, as viewers turn them by their
            EXIF orientation. The same for every format.
        gray_range: the values of gray with more than 8 bits that become black and white: the ends of the full 16-bit
            range, or the smallest and largest value in the image.
        max_pixels: largest allowed number of pixels.
    """

    exif: Exif = "stored"
    gray_range: GrayRange = "full"
    max_pixels: int = MAX_IMAGE_PIXELS

    @classmethod
    def of(cls, exif: Exif, gray_range: GrayRange, max_megapixels: float) -> Reading:
        """Make it from the fields of a spec or the options of a command."""
        return cls(exif, gray_range, int(max_megapixels * 1e6))

    @classmethod
    def of_saved(cls, dataset: Mapping[str, Any]) -> Reading:
        """Make it from the section ``dataset`` of a saved spec; fields unknown to older versions get their defaults."""
        return cls.of(
            dataset.get("exif", "stored"),
            dataset.get("gray_range", "full"),
            dataset.get("max_megapixels", DEFAULT_MEGAPIXELS),
        )


AS_STORED = Reading()
