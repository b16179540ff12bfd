"""Warn about dim 16-bit images and images with an EXIF orientation; choose how images are read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mal.coco.coco_file import CocoFile, show
from mal.coco.notes import RecordNote
from mal.coco.tables import ImageTable
from mal.data.images import HEADER_THREADS, image_path, opened_picture, read_image
from mal.data.orientation import picture_size, read_orientation, turned_size
from mal.data.picture_file import Pixels
from mal.errors import UserError
from mal.reading import Reading

OPTION = "--gray-range used (dataset.gray_range) scales each picture by the range that it uses"
_DIM = 0.1  # share of the range; 12 bits of 16 are 0.06
_HEADERS, _PICTURES = 64, 16  # that are looked at: pictures of a set are alike


def is_deep(picture: Image.Image) -> bool:
    """Whether a picture has gray of more than 8 bits, by its header."""
    return picture.mode.startswith("I")


def is_dim(pixels: Pixels, reading: Reading) -> bool:
    """Whether a picture with 16 bits of gray, as it was read, has less than a tenth of the full range."""
    return reading.gray_range == "full" and float(pixels.max()) < _DIM * 255


def dim_line(images: ImageTable, img_dir: Path) -> str | None:
    """One line on how many sampled 16-bit images are dim; None if none is."""
    looked_at, dim = 0, []
    for name in _some_deep_pictures(images, img_dir):
        try:
            pixels = read_image(image_path(img_dir, name), images.reading)
        except UserError:  # reported when its pixels are read
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
    if images.reading.gray_range == "used":
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


MARK = "mal"  # key of a COCO document for what only this program knows of it


@dataclass(frozen=True, slots=True)
class TurnedPicture:
    """A picture that viewers turn: its EXIF orientation, 2 to 8, and its width and height in pixels as stored."""

    orientation: int
    stored_size: tuple[int, int]


def turned_pictures(images: ImageTable, img_dir: Path) -> dict[int, TurnedPicture]:
    """Find the images with an EXIF orientation, by row; reads headers, several in parallel.

    An image that cannot be opened is skipped here and reported when its pixels are read.
    """

    def turned(row: int) -> TurnedPicture | None:
        try:
            with opened_picture(image_path(img_dir, images.at(row).file_name)) as picture:
                orientation = read_orientation(picture)
                return TurnedPicture(orientation, picture_size(picture)) if orientation != 1 else None
        except UserError:
            return None

    with ThreadPoolExecutor(HEADER_THREADS) as threads:
        found = enumerate(threads.map(turned, range(len(images))))
        return {row: picture for row, picture in found if picture is not None}


def turned_line(images: ImageTable, turned: Mapping[int, TurnedPicture], option: str) -> str | None:
    """One line on how many images have an EXIF orientation and how they are read; None without any.

    Args:
        images: all pictures.
        turned: those of them, by their rows.
        option: the setting that makes boxes and masks refer to the turned images.
    """
    if not turned:
        return None
    example = images.at(next(iter(turned))).file_name
    line = f"{len(turned)} of {len(images)} pictures have an EXIF orientation by which viewers turn them ({example})"
    if images.exif == "upright":
        return f"{line}: they are read turned, and boxes, sizes and masks are those of the turned pictures"
    return f"{line}: they are read as they are stored; if their boxes were drawn on the turned pictures, give {option}"


def upright_sizes(coco: CocoFile, turned: Mapping[int, TurnedPicture]) -> list[RecordNote]:
    """Swap width and height in records that have the stored size of a turned image; changes ``coco.images``.

    Returns:
        One "warned" note for each such image.
    """
    notes = []
    for row, picture in turned.items():
        record, size = coco.images.at(row), turned_size(*picture.stored_size, picture.orientation)
        if (record.width, record.height) != picture.stored_size or size == picture.stored_size:
            continue
        coco.images.set_size(record.id, *size)
        reason = (
            f"the size of image {show(record.id)} is that of the picture as stored, {record.width} x {record.height}:"
            f" taken as {size[0]} x {size[1]}, since its boxes are on the turned picture"
        )
        notes.append(RecordNote(None, None, record.id, "warned", reason))
    return notes


def choose_reading(coco: CocoFile, img_dir: Path, reading: Reading) -> list[RecordNote]:
    """Set how all images of a file are read, and which orientation its boxes use; call it before sizes are filled.

    Returns:
        Notes on records whose size had to change.
    """
    set_reading(coco, reading)
    return upright_sizes(coco, turned_pictures(coco.images, img_dir)) if coco.images.exif == "upright" else []


def set_reading(coco: CocoFile, reading: Reading) -> None:
    """Set how all images of a file are read; one that `marked_upright` has marked always uses the turned images."""
    coco.images.reading = replace(reading, exif="upright") if is_marked_upright(coco.document) else reading


def is_marked_upright(document: Mapping[str, Any]) -> bool:
    """Whether `marked_upright` has marked the document of a COCO file."""
    mark = document.get(MARK)
    return isinstance(mark, dict) and mark.get("exif") == "upright"


def marked_upright(document: Mapping[str, Any]) -> dict[str, Any]:
    """Mark the document of a COCO file: its boxes and masks refer to the images turned upright."""
    mark = document.get(MARK)
    return {**document, MARK: {**(mark if isinstance(mark, dict) else {}), "exif": "upright"}}
