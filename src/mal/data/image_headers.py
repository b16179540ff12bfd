"""Check all images of a file before a run, by their headers or by decoding them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from PIL import Image
from PIL.ImageFile import ImageFile

from mal.coco.tables import ImageRecord, ImageTable
from mal.data.images import HEADER_THREADS, image_path, opened_picture, read_record_image, require_size
from mal.data.orientation import picture_size, read_orientation, turned_size
from mal.data.picture_file import CERTAIN_MODES
from mal.data.picture_remarks import OPTION, is_deep, is_dim
from mal.errors import UserError

_IMAGES_AT_A_TIME = 128  # of one thread: few enough for a smooth progress bar
_END_MARKS = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}
_TAIL = 64  # bytes: some cameras pad their files
_CONVERTED = {
    "CMYK": "has four inks (CMYK): converted to RGB",
    "P": "has a palette: its colours are used",
    "PA": "has a palette and transparency: its colours are used, transparency is dropped",
    "LA": "is partly transparent: transparency is dropped",
    "RGBA": "is partly transparent: transparency is dropped",
}


@dataclass(frozen=True, slots=True)
class ImageIssue:
    """An image that is unreadable, turned by EXIF, or suspect.

    Attributes:
        row: of the image in its table.
        image: its record.
        fault: why its boxes would get no mask, in the words of `mal.data.images.read_record_image`; None where they
            would.
        orientation: 1 to 8, by which viewers turn it; 1 where its header cannot be read.
        remarks: what is worth knowing about it, each the end of a sentence; the same words for the same kind.
    """

    row: int
    image: ImageRecord
    fault: str | None
    orientation: int
    remarks: tuple[str, ...]


def check_images(images: ImageTable, img_dir: Path, *, deep: bool = False) -> Iterator[tuple[int, list[ImageIssue]]]:
    """Check every image, several in parallel.

    Args:
        images: records of the pictures.
        img_dir: folder of the pictures.
        deep: decode them completely, which finds damage behind the header; else only headers are read.

    Yields:
        The number of images checked, and the issues found in them; in the order of the table.
    """
    blocks = [
        range(start, min(start + _IMAGES_AT_A_TIME, len(images))) for start in range(0, len(images), _IMAGES_AT_A_TIME)
    ]

    def check_block(rows: range) -> tuple[int, list[ImageIssue]]:
        found = (_check_image(row, images.at(row), img_dir, deep=deep) for row in rows)
        return len(rows), [issue for issue in found if issue is not None]

    # A decoded picture may be large: keep no more in memory than there are processors.
    with ThreadPoolExecutor((os.cpu_count() or 1) if deep else HEADER_THREADS) as threads:
        yield from threads.map(check_block, blocks)


def _check_image(row: int, image: ImageRecord, img_dir: Path, *, deep: bool) -> ImageIssue | None:
    remarks: list[str] = []
    fault, orientation = None, 1
    try:
        path = image_path(img_dir, image.file_name)
        with opened_picture(path, image.reading.max_pixels) as picture:
            orientation = read_orientation(picture)
            remarks += _remarks(picture, image)
            if deep or picture.mode not in CERTAIN_MODES or _may_be_cut_off(picture):
                pixels = read_record_image(img_dir, image)
                if is_deep(picture) and is_dim(pixels, image.reading):
                    remarks.append(
                        f"uses less than a tenth of its 16 bits of grey, so that it is nearly black: {OPTION}"
                    )
            require_size(image, path, picture)
    except UserError as error:
        fault = str(error)
    return ImageIssue(row, image, fault, orientation, tuple(remarks)) if fault or remarks else None


def _may_be_cut_off(picture: Image.Image) -> bool:
    """Whether the end marker of a JPEG or PNG is not at its usual position; only decoding can decide."""
    mark = _END_MARKS.get(picture.format or "")
    if mark is None:
        return False
    file = cast(ImageFile, picture).fp
    assert file is not None
    file.seek(0, os.SEEK_END)
    file.seek(max(0, file.tell() - _TAIL))
    return mark not in file.read(_TAIL)


def _remarks(picture: Image.Image, image: ImageRecord) -> Iterator[str]:
    if is_deep(picture) or picture.mode == "F":
        scale = "the range that it uses" if image.reading.gray_range == "used" else "the full range"
        yield f"has grey of more than 8 bits: scaled to 8 bits over {scale}"
    if picture.mode.startswith("RGB") and ";16" in str(cast(ImageFile, picture).tile):
        yield "has 16 bits a channel: the upper 8 are used"
    if picture.mode in _CONVERTED:
        yield _CONVERTED[picture.mode]
    if getattr(picture, "is_animated", False):
        yield "is one of several in its file: only the first is used"
    if (orientation := read_orientation(picture)) != 1:
        yield f"has EXIF orientation {orientation}, so that viewers turn it{_what_is_used(picture, image)}"


def _what_is_used(picture: Image.Image, image: ImageRecord) -> str:
    if image.exif == "upright":
        return ": used turned, which its boxes must be drawn on"
    stored = picture_size(picture)
    if (image.width, image.height) == turned_size(*stored, read_orientation(picture)) != stored:
        return ", and its record has the size of the turned picture: --exif upright (dataset.exif) uses it turned"
    return ": used as it is stored, which its boxes must be drawn on"
