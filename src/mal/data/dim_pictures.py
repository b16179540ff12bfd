"""Pictures with 16 bits of grey that hardly use them, as 12 bits of a camera: with 8 bits they are nearly black."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from mal.data.image_table import ImageTable
from mal.data.images import image_path, opened_picture, read_image
from mal.data.picture_modes import Pixels
from mal.errors import UserError
from mal.reading import Reading

OPTION = "--grey-range used (dataset.grey_range) scales each picture by the range that it uses"
_DIM = 0.1  # share of the range; 12 bits of 16 are 0.06
_HEADERS, _PICTURES = 64, 16  # that are looked at: pictures of a set are alike


def is_deep(picture: Image.Image) -> bool:
    """Whether a picture has grey of more than 8 bits, by its header."""
    return picture.mode.startswith("I")


def is_dim(pixels: Pixels, reading: Reading) -> bool:
    """Whether a picture with 16 bits of grey, as it was read, has less than a tenth of the full range."""
    return reading.grey_range == "full" and float(pixels.max()) < _DIM * 255


def dim_line(images: ImageTable, img_dir: Path) -> str | None:
    """How many pictures with 16 bits of grey are dim, of some all over the file; None where none is."""
    looked_at, dim = 0, []
    for name in _some_deep_pictures(images, img_dir):
        try:
            pixels = read_image(image_path(img_dir, name), images.reading)
        except UserError:  # whoever needs its pixels names it
            continue
        looked_at += 1
        if is_dim(pixels, images.reading):
            dim.append(f"{name}, up to {pixels.max() / 255:.0%}")
    if not dim:
        return None
    return (
        f"{len(dim)} of {looked_at} pictures with 16 bits of grey that were looked at use less than a tenth of their"
        f" range ({dim[0]}): they are nearly black to the network; {OPTION}"
    )


def _some_deep_pictures(images: ImageTable, img_dir: Path) -> Iterator[str]:
    if images.reading.grey_range == "used":
        return
    found = 0
    for row in np.unique(np.linspace(0, len(images) - 1, min(len(images), _HEADERS)).astype(int)).tolist():
        name = images.at(row).file_name
        try:
            with opened_picture(image_path(img_dir, name)) as picture:
                deep = is_deep(picture)
        except UserError:
            continue
        if deep:
            found += 1
            yield name
        if found == _PICTURES:
            return
