"""How pictures are read, where that is for the user to say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mal.limits import MAX_IMAGE_PIXELS

Exif = Literal["stored", "upright"]
GreyRange = Literal["full", "used"]

DEFAULT_MEGAPIXELS = MAX_IMAGE_PIXELS / 1e6


@dataclass(frozen=True, slots=True)
class Reading:
    """How pictures are read.

    Attributes:
        exif: pixels as they are stored, as COCO's sizes and boxes go by; or upright, as viewers turn them by their EXIF
            orientation. The same for every format.
        grey_range: which values of grey with more than 8 bits become black and white: the ends of the full range of 16
            bits, or the smallest and the largest value that the picture uses.
        max_pixels: how many a picture may have.
    """

    exif: Exif = "stored"
    grey_range: GreyRange = "full"
    max_pixels: int = MAX_IMAGE_PIXELS

    @classmethod
    def of(cls, exif: Exif, grey_range: GreyRange, max_megapixels: float) -> Reading:
        """From the fields of a spec or the options of a command."""
        return cls(exif, grey_range, int(max_megapixels * 1e6))

    @classmethod
    def of_saved(cls, dataset: Mapping[str, Any]) -> Reading:
        """From the section ``dataset`` of a saved spec; what an earlier version did not know has its default."""
        return cls.of(
            dataset.get("exif", "stored"),
            dataset.get("grey_range", "full"),
            dataset.get("max_megapixels", DEFAULT_MEGAPIXELS),
        )


AS_STORED = Reading()
