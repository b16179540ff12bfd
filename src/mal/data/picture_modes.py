"""The pixels of pictures in any mode that Pillow has, as RGB of 8 bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.uint8]

# Others have to be decoded before it is known whether their pixels can be used.
CERTAIN_MODES = frozenset(("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "I;16", "I;16B", "I;16L"))
_LARGEST_16_BIT = 65535
_BITS_TAG, _FORMAT_TAG = 258, 339  # of TIFF
_SIGNED = 2


class UnusablePixelsError(ValueError):
    """A picture was decoded, but its numbers are no colours that are known."""


def pixels_of(image: Image.Image) -> Pixels:
    """Colours of a picture in any mode, (H, W, 3) uint8; grey of 16 bits is scaled from its full range.

    Raises:
        UnusablePixelsError: the mode has no known range of values, or no known colours.
    """
    if image.mode.startswith("I"):
        grey = _grey8(image)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.mode == "F":
        raise UnusablePixelsError("floating-point pixels have no known range; save the picture with 8 or 16 bits")
    if image.mode == "LAB":
        raise UnusablePixelsError("Lab colours are not converted here; save the picture as RGB")
    return np.array(image.convert("RGB"))


def _grey8(image: Image.Image) -> Pixels:
    """16-bit grey to 8 bits over the full range: 65535 becomes 255 (Pillow's own conversion clips at 255)."""
    values = np.asarray(image).astype(np.int64)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > _LARGEST_16_BIT:
        raise UnusablePixelsError(
            f"{_number_kind(image)} pixels have no known range (here {low} to {high}); save the picture with 8 or 16"
            " bits"
        )
    return ((values + 128) // 257).astype(np.uint8)


def _number_kind(image: Image.Image) -> str:
    tags: Any = getattr(image, "tag_v2", {})
    bits = tags.get(_BITS_TAG, (32,))[0]
    return f"signed {bits}-bit" if _SIGNED in _as_tuple(tags.get(_FORMAT_TAG)) and bits < 32 else f"{bits}-bit"


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)
