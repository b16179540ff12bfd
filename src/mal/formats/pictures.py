"""Picture files beside annotations: found in folders, measured, brought into the output."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from mal.data.image_table import ImageRecord
from mal.data.images import image_path, opened_picture
from mal.errors import UserError
from mal.formats.options import WriteOptions

SUFFIXES = frozenset(
    (".avif", ".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp", ".pgm")
)


def pictures_in(folder: Path) -> list[Path]:
    """All picture files in a folder and below it, sorted."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())


def picture_size(path: Path) -> tuple[int, int]:
    """Width and height in pixels as stored, from the header.

    Raises:
        UserError: it is missing or no picture.
    """
    with opened_picture(path) as picture:
        width, height = picture.size
    return width, height


def bring(image: ImageRecord, options: WriteOptions, target: Path) -> None:
    """Put a picture into the output, if that was asked for.

    Raises:
        UserError: it is not there.
    """
    if options.pictures == "no":
        return
    source = picture_file(image, options)
    target.parent.mkdir(parents=True, exist_ok=True)
    if options.pictures == "copy":
        shutil.copyfile(source, target)
    else:
        target.symlink_to(os.path.realpath(source))


def picture_file(image: ImageRecord, options: WriteOptions) -> Path:
    """Where the picture of a record lies.

    Raises:
        UserError: it is not there.
    """
    assert options.images is not None, "pictures are asked for without their folder"
    path = image_path(options.images, image.file_name)
    if not path.is_file():
        raise UserError(f"image {path} does not exist: check --images and the file name")
    return path
