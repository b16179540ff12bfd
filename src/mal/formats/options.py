"""What a person can choose about reading and writing formats."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mal.reading import Exif

Shapes = Literal["masks", "polygons"]
Pictures = Literal["no", "copy", "link"]


@dataclass(frozen=True)
class ReadOptions:
    """How a format is read.

    Attributes:
        images: folder of the pictures; None looks where the format has them.
        split: the only one to read, as "train"; None reads all.
        one_based: Pascal VOC boxes count pixels from 1 and include the last one.
        normalized: boxes of a table are shares of the width and height of the image.
        exif: in formats that do not say it, whether boxes and masks are on the pictures as stored or as viewers turn
            them; and on which COCO and PNG are to have those that come from tools that turn pictures.
    """

    images: Path | None = None
    split: str | None = None
    one_based: bool = False
    normalized: bool = False
    exif: Exif = "stored"


@dataclass(frozen=True)
class WriteOptions:
    """How a format is written.

    Attributes:
        shapes: of masks, where a format has both.
        tolerance: how far in pixels a corner of a mask's outline may lie beside its polygon.
        images: folder of the pictures; None where it is not known.
        pictures: whether they go into the output too, as files or as links.
        split: the part of a YOLO data set that is written; None writes "train" and "val".
        val_share: share of the images that go into "val" then, 0..1.
        as_predictions: Label Studio shows the masks as suggestions; else as finished annotations.
        image_prefix: what stands before a file name to make the address by which Label Studio finds the picture; None
            goes by the name of ``images``.
    """

    shapes: Shapes = "masks"
    tolerance: float = 0.0
    images: Path | None = None
    pictures: Pictures = "no"
    split: str | None = None
    val_share: float = 0.1
    as_predictions: bool = True
    image_prefix: str | None = None
