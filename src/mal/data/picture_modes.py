"""The pixels of pictures in any mode that Pillow has, as RGB of 8 bits."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from mal.reading import GreyRange

Pixels = npt.NDArray[np.uint8]

# Others have to be decoded before it is known whether, and how well, their pixels can be used.
CERTAIN_MODES = frozenset(("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"))
LARGEST_16_BIT = 65535
_BITS_TAG, _FORMAT_TAG = 258, 339  # of TIFF
_SIGNED = 2


class UnusablePixelsError(ValueError):
    """A picture was decoded, but its numbers are no colours that are known."""


def pixels_of(image: Image.Image, grey_range: GreyRange = "full") -> Pixels:
    """Colours of a picture in any mode, (H, W, 3) uint8.

    Args:
        image: any picture.
        grey_range: of grey with more than 8 bits, see `mal.reading.Reading`.

    Raises:
        UnusablePixelsError: the mode has no known range of values, or no known colours.
    """
    if image.mode.startswith("I") or image.mode == "F":
        grey = np.asarray(image)
        grey8 = _from_used_range(grey) if grey_range == "used" else _from_full_range(grey, image)
        return np.repeat(grey8[:, :, None], 3, axis=2)
    if image.mode == "LAB":
        raise UnusablePixelsError("Lab colours are not converted here; save the picture as RGB")
    return np.array(image.convert("RGB"))


def _from_full_range(values: npt.NDArray[Any], image: Image.Image) -> Pixels:
    """16-bit grey to 8 bits over the full range: 65535 becomes 255 (Pillow's own conversion clips at 255)."""
    low, high = values.min(), values.max()
    if image.mode == "F" or low < 0 or high > LARGEST_16_BIT:
        raise UnusablePixelsError(
            f"{_number_kind(image)} pixels have no known range (here {low:g} to {high:g}); take the range that each"
            " picture uses with --grey-range used (dataset.grey_range), or save the picture with 8 or 16 bits"
        )
    return ((values.astype(np.int64) + 128) // 257).astype(np.uint8)


def _from_used_range(values: npt.NDArray[Any]) -> Pixels:
    """Grey to 8 bits over the range from its smallest to its largest value; black where that is one value."""
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
