"""How images are read: orientation, range of gray values, largest size; one value from the spec to the decoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mal.limits import MAX_IMAGE_PIXELS

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
