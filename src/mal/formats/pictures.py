"""Picture files beside annotations: found in folders, measured, brought into the output."""

from __future__ import annotations

import os
import shutil
from pathlib import Path, PurePosixPath

from mal.data import orientation
from mal.data.images import image_path, opened_picture
from mal.data.near_names import near_hint
from mal.errors import UserError
from mal.formats.options import ReadOptions, WriteOptions
from mal.formats.output_names import RefusedName
from mal.limits import MAX_MASK_PIXELS
from mal.reading import Exif

SUFFIXES = frozenset(
    (".avif", ".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp", ".pgm")
)


def pictures_in(folder: Path) -> list[Path]:
    """All picture files in a folder and below it, sorted."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())


def named_picture(folder: Path, name: str) -> str:
    """The name of a picture in a folder; of one without an ending, that of the picture that has this stem."""
    if Path(name).suffix.lower() in SUFFIXES or (folder / name).is_file() or not folder.is_dir():
        return name
    found = [path.name for path in pictures_with_stem(folder, name)]
    return found[0] if len(found) == 1 else name


def pictures_with_stem(folder: Path, stem: str) -> list[Path]:
    """Pictures in a folder whose name is a stem and an ending."""
    endings = [ending for suffix in sorted(SUFFIXES) for ending in (suffix, suffix.upper())]
    return [path for path in (folder / f"{stem}{ending}" for ending in endings) if path.is_file()]


def picture_size(path: Path, exif: Exif) -> tuple[int, int]:
    """Width and height in pixels, as stored or as viewers turn the picture, from the header.

    Raises:
        UserError: it is missing or no picture.
    """
    with opened_picture(path) as picture:
        return orientation.picture_size(picture, exif)


def source_picture(file_name: PurePosixPath, options: WriteOptions) -> Path | None:
    """The picture that goes into the output; None where none was asked for.

    Args:
        file_name: as of `mal.formats.output_names.relative_name`.
        options: ``pictures`` and ``images`` count.

    Raises:
        RefusedName: it is not there.
    """
    if options.pictures == "no":
        return None
    assert options.images is not None, "pictures are asked for without their folder"
    path = options.images / file_name
    if not path.is_file():
        raise RefusedName(f"its picture {path} does not exist{near_hint(path)}: check --images and the file name")
    return path


def size_or_picture(size: tuple[int, int] | None, file_name: str, options: ReadOptions) -> tuple[int, int]:
    """Width and height in pixels: as known, or of the picture itself as viewers show it.

    Raises:
        ValueError: it is larger than a mask can be, or not known, and the picture is not there to say it.
    """
    if size is not None and size[0] * size[1] > MAX_MASK_PIXELS:
        raise ValueError(f"its image has {size[0]} x {size[1]} pixels, and masks have {MAX_MASK_PIXELS:,} at most")
    if size is not None:
        return size
    if options.images is None:
        raise ValueError("the size of its image is not known: --images DIR takes it from the picture")
    try:
        return picture_size(image_path(options.images, file_name), "upright")
    except UserError as error:
        raise ValueError(f"the size of its image is not known: {error}") from error


def bring(source: Path, target: Path, options: WriteOptions) -> None:
    """Put a picture into the output, as a file or as a link.

    Args:
        source: as of `source_picture`.
        target: where nothing is yet.
        options: ``pictures`` counts.

    Raises:
        RefusedName: it cannot be read.
    """
    if options.pictures == "link":
        target.symlink_to(os.path.realpath(source))
        return
    try:
        picture = source.open("rb")
    except OSError as error:
        raise RefusedName(f"its picture {source} cannot be read: {error.strerror or error}") from error
    with picture, target.open("xb") as file:
        shutil.copyfileobj(picture, file)
