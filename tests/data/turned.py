"""Pictures with an EXIF orientation, in every format that has one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from mal.data.images import Pixels

SUFFIXES = [".jpg", ".png", ".webp", ".tif", *([".avif"] if ".avif" in Image.registered_extensions() else [])]
ORIENTATIONS = range(1, 9)


def smooth(height: int = 32, width: int = 48) -> Pixels:
    """(H, W, 3), no two corners alike; smooth, so that lossy formats nearly keep it."""
    down, across = np.mgrid[0:height, 0:width]
    return np.stack((down * 255 // height, across * 255 // width, 255 - down * 128 // height), axis=2).astype(np.uint8)


def save_turned(path: Path, pixels: Pixels, orientation: int) -> Path:
    """Write pixels as they are, with an orientation by which viewers turn them."""
    exif = Image.Exif()
    exif[274] = orientation
    options = {"exif": exif} if path.suffix != ".tif" else {"tiffinfo": {274: orientation}}
    lossy = {"quality": 95} if path.suffix in (".jpg", ".webp", ".avif") else {}
    Image.fromarray(pixels).save(path, **options, **lossy)
    return path


def as_seen(pixels: Pixels, orientation: int) -> Pixels:
    """What viewers show of such a picture, by Pillow's word."""
    picture = Image.fromarray(pixels)
    picture.getexif()[274] = orientation
    return np.asarray(ImageOps.exif_transpose(picture))
