"""Picture files beside annotations: found in folders, measured, brought into the output."""

from __future__ import annotations

import os
import shutil
from pathlib import Path, PurePosixPath

from mal.data.images import opened_picture
from mal.formats.options import WriteOptions
from mal.formats.output_names import RefusedName

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


def picture_size(path: Path) -> tuple[int, int]:
    """Width and height in pixels as stored, from the header.

    Raises:
        UserError: it is missing or no picture.
    """
    with opened_picture(path) as picture:
        width, height = picture.size
    return width, height


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
        raise RefusedName(f"its picture {path} does not exist: check --images and the file name")
    return path


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
