"""Open picture files of the formats that are read, and of no others."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from mal.data.near_names import near_hint
from mal.errors import UserError, one_line
from mal.file_kinds import HEAD_BYTES, said_kind
from mal.limits import MAX_IMAGE_PIXELS
from mal.plain_files import open_plain

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "AVIF")
"""Pillow's names of the formats that are read; others of its readers start programs, or are hardly looked after."""

_PILLOW_REFUSES = 2  # times its MAX_IMAGE_PIXELS


@contextmanager
def opened_file(path: Path) -> Iterator[BinaryIO]:
    """A picture's file, open for reading.

    Raises:
        UserError: it is missing, a folder, no plain file, or cannot be opened.
    """
    try:
        with open_plain(path, f"image {path}") as file:
            yield file
    except FileNotFoundError:
        hint = near_hint(path)
        raise UserError(f"image {path} does not exist{hint}: check the image folder and the file name") from None
    except IsADirectoryError:
        raise UserError(f"image {path} is a folder, not a picture") from None
    except UserError:
        raise
    except MemoryError as error:
        raise not_enough_memory(path) from error
    # A file name that no file can have raises ValueError; stores behind URLs have errors of their own.
    except Exception as error:
        raise UserError(f"image {path} cannot be opened: {one_line(error)}") from error


def not_enough_memory(path: Path) -> UserError:
    """The user's error for a picture about which nothing is wrong."""
    return UserError(
        f"there is not enough memory to read image {path}: use fewer processes (--workers, in a spec num_workers), or a"
        " machine with more memory"
    )


def picture_in(file: BinaryIO, called: str, max_pixels: int | None) -> Image.Image:
    """The picture in a file, of which only the header is read.

    Pillow tells formats by their content, and some of its readers start other programs: so its `Image.open`, which asks
    all of them and warns of large pictures, is not used.

    Args:
        file: must stay open as long as the picture is used.
        called: what the picture is called in errors.
        max_pixels: how many it may have; None takes any number, for whoever does not decode it.

    Raises:
        UserError: it is no picture of a format that is read, its header is damaged, or it has more pixels.
    """
    if max_pixels and Image.MAX_IMAGE_PIXELS and max_pixels > _PILLOW_REFUSES * Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = max_pixels  # some of Pillow's readers ask too, and later again
    head = file.read(HEAD_BYTES)
    try:
        picture = _identified(file, head)
    except Image.DecompressionBombError:
        raise _too_large(called, "too many pixels", max_pixels or MAX_IMAGE_PIXELS) from None
    except MemoryError:
        raise
    # Headers are parsed here, and damaged ones raise nearly every built-in error.
    except Exception as error:
        raise UserError(f"{called} cannot be opened: {one_line(error)}") from error
    if picture is None:
        told = said_kind(head, "a picture", "picture")
        raise UserError(f"{called} {told or 'is not a picture that can be read, or its first bytes are damaged'}")
    width, height = picture.size
    if max_pixels and width * height > max_pixels:
        raise _too_large(called, f"{width} x {height} pixels, {width * height / 1e6:.4g} megapixels", max_pixels)
    if picture.format == "TIFF":
        picture.info.pop("xmp", None)  # Pillow would turn a TIFF by it where the TIFF's own tag is missing
    return picture


def _identified(file: BinaryIO, head: bytes) -> Image.Image | None:
    for name in _formats():
        factory, accepts = Image.OPEN[name]
        try:
            if accepts is None or accepts(head) is True:
                file.seek(0)
                return factory(file, "")
        except (SyntaxError, IndexError, TypeError, struct.error):  # Pillow's ways to say: not of this format
            continue
    return None


@cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _too_large(called: str, size: str, max_pixels: int) -> UserError:
    return UserError(
        f"{called} has {size}, where the limit is {max_pixels / 1e6:.4g} megapixels: raise it with --max-megapixels"
        " (in a spec dataset.max_megapixels), or cut the picture into tiles"
    )
