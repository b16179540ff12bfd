"""A photo and its boxes for ``mal label``; imports nothing heavy, so that the command line can build it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

Xywh = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo to label.

    Attributes:
        path: image file.
        boxes: left, top, width, height in pixels of the photo, one for each object.
        overlay: image file to write, the photo with its masks.
    """

    path: Path
    boxes: tuple[Xywh, ...]
    overlay: Path
