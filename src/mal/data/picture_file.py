"""Open image files and convert any Pillow mode to 8-bit RGB."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image

from mal.data.near_names import near_hint
from mal.errors import UserError, one_line
from mal.file_kinds import HEAD_BYTES, said_kind
from mal.limits import MAX_IMAGE_PIXELS
from mal.plain_files import open_plain
from mal.reading import GrayRange

Pixels = npt.NDArray[np.uint8]

# Others have to be decoded before it is known whether, and how well, their pixels can be used.
CERTAIN_MODES = frozenset(("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"))
LARGEST_16_BIT = 65535
_BITS_TAG, _FORMAT_TAG = 258, 339  # of TIFF
_SIGNED = 2


class UnusablePixelsError(ValueError):
    """An image was decoded, but its values cannot be converted to colors."""


def to_rgb_pixels(image: Image.Image, gray_range: GrayRange = "full") -> Pixels:
    """Convert an image of any mode to RGB, (H, W, 3) uint8.

    Args:
        image: any picture.
        gray_range: of gray with more than 8 bits, see `mal.reading.Reading`.

    Raises:
        UnusablePixelsError: the mode has no known range of values, or no known colors.
    """
    if image.mode.startswith("I") or image.mode == "F":
        gray = np.asarray(image)
        gray8 = _from_used_range(gray) if gray_range == "used" else _from_full_range(gray, image)
        return np.repeat(gray8[:, :, None], 3, axis=2)
    if image.mode == "LAB":
        raise UnusablePixelsError("Lab colours are not converted here; save the picture as RGB")
    return np.array(image.convert("RGB"))


def _from_full_range(values: npt.NDArray[Any], image: Image.Image) -> Pixels:
    """16-bit gray to 8 bits over the full range: 65535 becomes 255 (Pillow's own conversion clips at 255)."""
    low, high = values.min(), values.max()
    if image.mode == "F" or low < 0 or high > LARGEST_16_BIT:
        raise UnusablePixelsError(
            f"{_number_kind(image)} pixels have no known range (here {low:g} to {high:g}); take the range that each"
            " picture uses with --gray-range used (dataset.gray_range), or save the picture with 8 or 16 bits"
        )
    return ((values.astype(np.int64) + 128) // 257).astype(np.uint8)


def _from_used_range(values: npt.NDArray[Any]) -> Pixels:
    """Gray to 8 bits over the range from its smallest to its largest value; black where that is one value."""
    exact = values.astype(np.float64)
    low, high = float(exact.min()), float(exact.max())
    if not math.isfinite(high - low):
        raise UnusablePixelsError("some of its pixels are infinite or no numbers")
    return np.rint((exact - low) * (255 / (high - low if high > low else 1.0))).astype(np.uint8)


def _number_kind(image: Image.Image) -> str:
    tags: Any = getattr(image, "tag_v2", {})
    if image.mode == "F":
        return "floating-point"
    bits = tags.get(_BITS_TAG, (32,))[0]
    return f"signed {bits}-bit" if _SIGNED in _as_tuple(tags.get(_FORMAT_TAG)) and bits < 32 else f"{bits}-bit"


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "AVIF")
"""Pillow's names of the formats that are read; some other readers start programs or are hardly maintained."""

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
        raise not_enough_memory(f"image {path}") from error
    # A file name that no file can have raises ValueError; stores behind URLs have errors of their own.
    except Exception as error:
        raise UserError(f"image {path} cannot be opened: {one_line(error)}") from error


def not_enough_memory(called: str) -> UserError:
    """Make the error for a valid image that does not fit into memory."""
    return UserError(
        f"there is not enough memory to read {called}: use fewer processes (--workers, in a spec num_workers), or a"
        " machine with more memory"
    )


def picture_in(file: BinaryIO, called: str, max_pixels: int | None) -> Image.Image:
    """Open the image in a file and read its header.

    `Image.open` is not used: it tries all of Pillow's readers, some of which start other programs, and it warns of
    large images.

    Args:
        file: must stay open as long as the picture is used.
        called: what the picture is called in errors.
        max_pixels: largest allowed number of pixels; None for no limit.

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
        reason = said_kind(head, "a picture", "picture")
        reason = reason or "is not a picture that can be read, or its first bytes are damaged"
        raise UserError(f"{called} {reason}")
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
