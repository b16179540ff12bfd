"""The pictures of a file that viewers turn, and sizes that go by what is chosen for them."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mal.data.coco import CocoFile, show
from mal.data.image_table import ImageTable
from mal.data.images import HEADER_THREADS, image_path, opened_picture
from mal.data.notes import RecordNote
from mal.data.orientation import orientation_of, picture_size, turned_size
from mal.errors import UserError
from mal.reading import Reading

MARK = "mal"  # key of a COCO document for what only this program knows of it


@dataclass(frozen=True, slots=True)
class TurnedPicture:
    """A picture that viewers turn: its EXIF orientation, 2 to 8, and its width and height in pixels as stored."""

    orientation: int
    stored_size: tuple[int, int]


def turned_pictures(images: ImageTable, img_dir: Path) -> dict[int, TurnedPicture]:
    """The pictures that viewers turn, by their rows; headers are read, several at a time.

    A picture that cannot be opened is none of them: whoever reads its pixels names it.
    """

    def turned(row: int) -> TurnedPicture | None:
        try:
            with opened_picture(image_path(img_dir, images.at(row).file_name)) as picture:
                orientation = orientation_of(picture)
                return TurnedPicture(orientation, picture_size(picture)) if orientation != 1 else None
        except UserError:
            return None

    with ThreadPoolExecutor(HEADER_THREADS) as threads:
        found = enumerate(threads.map(turned, range(len(images))))
        return {row: picture for row, picture in found if picture is not None}


def turned_line(images: ImageTable, turned: Mapping[int, TurnedPicture], option: str) -> str | None:
    """How many pictures viewers turn and what becomes of them; None where there are none.

    Args:
        images: all pictures.
        turned: those of them, by their rows.
        option: what to write to have boxes and masks as of the turned pictures.
    """
    if not turned:
        return None
    example = images.at(next(iter(turned))).file_name
    line = f"{len(turned)} of {len(images)} pictures have an EXIF orientation by which viewers turn them ({example})"
    if images.exif == "upright":
        return f"{line}: they are read turned, and boxes, sizes and masks are those of the turned pictures"
    return f"{line}: they are read as they are stored; if their boxes were drawn on the turned pictures, give {option}"


def upright_sizes(coco: CocoFile, turned: Mapping[int, TurnedPicture]) -> list[RecordNote]:
    """Give records the size of the turned picture that have that of the stored one; changes ``coco.images``.

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
    """Say for a whole file how its pictures are read, and what boxes and masks go by; before sizes are filled in.

    A file that `marked_upright` has marked goes by the turned pictures whatever is said.

    Returns:
        Notes on records whose size had to change.
    """
    is_marked = is_marked_upright(coco.document)
    coco.images.reading = replace(reading, exif="upright") if is_marked else reading
    if coco.images.exif == "stored":
        return []
    return upright_sizes(coco, turned_pictures(coco.images, img_dir))


def is_marked_upright(document: Mapping[str, Any]) -> bool:
    """Whether `marked_upright` has marked the document of a COCO file."""
    mark = document.get(MARK)
    return isinstance(mark, dict) and mark.get("exif") == "upright"


def marked_upright(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document of a COCO file with a mark that its boxes and masks are on the pictures as viewers turn them."""
    mark = document.get(MARK)
    return {**document, MARK: {**(mark if isinstance(mark, dict) else {}), "exif": "upright"}}
