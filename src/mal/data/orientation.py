"""EXIF orientation: read it from the header, and turn sizes and arrays by it."""

from __future__ import annotations

import struct
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from mal.reading import Exif

NumberT = TypeVar("NumberT", int, float)

_TAG = 274
_WIDTH_TAG, _HEIGHT_TAG = 256, 257  # of TIFF
# Of each orientation: whether rows and columns change places, and after that left and right, and top and bottom.
TURNS = {
    1: (False, False, False),
    2: (False, True, False),
    3: (False, True, True),
    4: (False, False, True),
    5: (True, False, False),
    6: (True, True, False),
    7: (True, True, True),
    8: (True, False, True),
}


def read_orientation(picture: Image.Image) -> int:
    """Read the orientation, 1 to 8, from the header of an image that is not decoded yet; 1 (upright) by default."""
    if picture.format == "TIFF":
        return _checked(picture.tag_v2.get(_TAG, 1))  # type: ignore[attr-defined]
    content = picture.info.get("exif")
    if not isinstance(content, bytes):
        return 1
    exif = Image.Exif()  # Pillow's getexif would decode a PNG for what may follow behind the pixels
    try:
        exif.load(content)
    except (SyntaxError, ValueError, OSError, struct.error):  # damaged: no viewer turns the picture
        return 1
    return _checked(exif.get(_TAG, 1))


def picture_size(picture: Image.Image, exif: Exif = "stored") -> tuple[int, int]:
    """Read width and height in pixels from the header of an image that is not decoded yet."""
    size = picture.size
    if picture.format == "TIFF":  # whose size Pillow turns, from version 11 on
        tags = picture.tag_v2  # type: ignore[attr-defined]
        size = int(tags[_WIDTH_TAG]), int(tags[_HEIGHT_TAG])
    return turned_size(*size, read_orientation(picture)) if exif == "upright" else size


def turn_after_decoding(picture: Image.Image, exif: Exif) -> int:
    """The orientation still to be applied to the decoded pixels; call it before decoding."""
    orientation = read_orientation(picture)
    if picture.format == "TIFF":  # which Pillow turns by itself, and no other format
        return 1 if exif == "upright" else turned_back(orientation)
    return orientation if exif == "upright" else 1


def turned_back(orientation: int) -> int:
    """Invert an orientation."""
    return {6: 8, 8: 6}.get(orientation, orientation)


def turned_size(width: NumberT, height: NumberT, orientation: int) -> tuple[NumberT, NumberT]:
    """Turn a size."""
    return (height, width) if TURNS[orientation][0] else (width, height)


def turned_pixels(pixels: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """Turn an array (H, W, ...) upright; a copy unless it is upright already."""
    if orientation == 1:
        return pixels
    transposed, mirrored, upside_down = TURNS[orientation]
    result = pixels.swapaxes(0, 1) if transposed else pixels
    result = result[:, ::-1] if mirrored else result
    return np.ascontiguousarray(result[::-1] if upside_down else result)


def _checked(value: object) -> int:
    return value if isinstance(value, int) and value in TURNS else 1
