"""Options for reading and writing formats, image folders, and atomic output folders."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from mal.data import orientation
from mal.data.images import image_path, opened_picture
from mal.data.near_names import near_hint
from mal.errors import UserError
from mal.files import cannot_write
from mal.formats.output_names import RefusedName
from mal.formats.text_files import read_text_file
from mal.limits import MAX_MASK_PIXELS
from mal.reading import Exif

Shapes = Literal["masks", "polygons"]
Pictures = Literal["no", "copy", "link"]


@dataclass(frozen=True)
class ReadOptions:
    """Read options of a format.

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
    """Write options of a format.

    Attributes:
        shapes: of masks, where a format has both.
        tolerance: largest distance in pixels between a corner of a mask's contour and its polygon.
        max_corners: of all polygons of an object, as of `mal.masks.few_corners`; None goes by ``tolerance``.
        min_iou: of polygons with few corners and their mask, 0..1; where it would be lower there are more corners.
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
    max_corners: int | None = None
    min_iou: float = 0.0
    images: Path | None = None
    pictures: Pictures = "no"
    split: str | None = None
    val_share: float = 0.1
    as_predictions: bool = True
    image_prefix: str | None = None


SUFFIXES = frozenset(
    (".avif", ".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp", ".pgm")
)


def pictures_in(folder: Path) -> list[Path]:
    """All picture files in a folder and below it, sorted."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())


PATTERN_SIGNS = "*?["


def is_pattern(path: Path) -> bool:
    """Whether a path is a pattern of file names, as ``labels/*.xml``."""
    return any(sign in str(path) for sign in PATTERN_SIGNS) and not path.exists()


def listed_files(path: Path, what: str = "annotation files") -> list[Path]:
    """The files that a pattern matches, sorted, or that a text file lists, one a line, relative to the list itself.

    Args:
        path: the pattern or the text file.
        what: kind of the files, for messages.

    Raises:
        UserError: there is none, or one that is listed does not exist.
    """
    if is_pattern(path):
        start = Path(path.anchor)
        found = sorted(file for file in start.glob(str(path.relative_to(start))) if file.is_file())
        if not found:
            raise UserError(f"{path}: no file matches this pattern")
        return found
    lines = [line.strip() for line in read_text_file(path).splitlines()]
    found = [path.parent / line for line in lines if line]
    if not found:
        raise UserError(f"{path} is empty: a list of {what}, one a line, is expected")
    if missing := next((file for file in found if not file.is_file()), None):
        raise UserError(f"{path}: {missing} does not exist: a list of {what}, one a line, is expected")
    return found


def annotation_files(path: Path, suffix: str) -> tuple[list[Path], Path]:
    """The files of a format that has a file for each image, and the folder that holds them.

    Args:
        path: a file; a folder, with files in it or below it; a pattern; or a list as of `listed_files`.
        suffix: of the files in a folder.
    """
    if path.is_dir():
        return sorted(path.glob(f"*{suffix}")) or sorted(path.rglob(f"*{suffix}")), path
    if path.is_file() and path.suffix != ".txt":
        return [path], path.parent
    files = listed_files(path)
    return files, Path(os.path.commonpath([file.parent.absolute() for file in files]))


def named_picture(folder: Path, name: str) -> str:
    """The file name of an image in a folder; a name without extension is matched by its stem."""
    if Path(name).suffix.lower() in SUFFIXES or (folder / name).is_file() or not folder.is_dir():
        return name
    found = [path.name for path in pictures_with_stem(folder, name)]
    return found[0] if len(found) == 1 else name


def pictures_with_stem(folder: Path, stem: str) -> list[Path]:
    """Pictures in a folder whose name is a stem and an ending."""
    endings = [ending for suffix in sorted(SUFFIXES) for ending in (suffix, suffix.upper())]
    return [path for path in (folder / f"{stem}{ending}" for ending in endings) if path.is_file()]


def folder_beside(source: Path, source_format: str) -> Path | None:
    """The default image folder of a source: LabelMe has images beside its files."""
    if source_format != "labelme":
        return None
    folder = source if source.is_dir() else source.parent
    return folder if pictures_in(folder) else None


def picture_size(path: Path, exif: Exif) -> tuple[int, int]:
    """Width and height in pixels, as stored or as viewers turn the picture, from the header.

    Raises:
        UserError: it is missing or no picture.
    """
    with opened_picture(path) as picture:
        return orientation.picture_size(picture, exif)


def source_picture(file_name: PurePosixPath, options: WriteOptions) -> Path | None:
    """Find the image to put into the output; None if images were not requested.

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


def check_target(target: Path, source: Path, *, overwrite: bool) -> None:
    """Check that the target does not exist yet, or may be overwritten.

    Raises:
        UserError: ``target`` is the input, or is there (a folder: with something in it) and ``overwrite`` is not set.
    """
    if target.exists() and target.resolve() == source.resolve():
        raise UserError(f"{target}: IN and OUT are the same; give OUT another name")
    if target.is_dir() and any(target.iterdir()) and not overwrite:
        raise UserError(
            f"{target} is a folder with something in it: give another one, or --overwrite to replace files of the same"
            " names in it"
        )
    if os.path.lexists(target) and not target.is_dir() and not overwrite:
        raise UserError(f"{target} is there already: give another name, or --overwrite to replace it")


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """Write a folder atomically: a temporary folder that is renamed to, or merged into, the target at the end.

    After an error it is removed.

    Raises:
        UserError: it cannot be written.
    """
    draft: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists() and not target.is_dir():
            raise UserError(f"{target} is a file; this format is a folder: give another name")
        draft = target.with_name(f".{target.name}.{os.getpid()}.draft")
        draft.mkdir()
        yield draft
        _move(draft, target)
    except OSError as error:
        raise cannot_write(target, error) from error
    finally:
        if draft is not None:
            shutil.rmtree(draft, ignore_errors=True)


def _move(draft: Path, target: Path) -> None:
    if not os.path.lexists(target):
        draft.replace(target)
        return
    paths = sorted(draft.rglob("*"))
    for path in paths:
        _require_room(path, target / path.relative_to(draft))
    for path in paths:
        place = target / path.relative_to(draft)
        if _is_folder(path):
            place.mkdir(exist_ok=True)
        else:
            path.replace(place)


def _require_room(path: Path, place: Path) -> None:
    """Check that a file of the draft can replace the target, or a folder can be merged into it.

    Raises:
        UserError: a folder is a file or a link there, through which files would be written elsewhere; or the other way
            round; or a picture would be replaced by a link to itself.
    """
    if _is_folder(path):
        if os.path.lexists(place) and not _is_folder(place):
            raise UserError(f"{place} is {'a link' if place.is_symlink() else 'a file'}, not a folder: remove it")
    elif _is_folder(place):
        raise UserError(f"{place} is a folder, and a file of this name is to be written: remove it")
    elif path.is_symlink() and not place.is_symlink() and os.path.realpath(path) == os.path.realpath(place):
        raise UserError(f"{place} is the picture that it would be a link to: give OUT another name")


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()
