"""One door to annotations in any format: the COCO file to read, converted once and kept as long as it is true."""

from __future__ import annotations

import atexit
import json
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mal.coco.coco_file import CocoFile, read_coco
from mal.data.images import image_path
from mal.errors import UserError, working_on
from mal.files import sha256, write_json
from mal.formats.coco_out import write_coco
from mal.formats.folders import ReadOptions, WriteOptions, is_pattern
from mal.formats.formats import read_something
from mal.formats.recognize import coco_file_in, source_format
from mal.formats.source_files import annotations_digest, pictures_digest
from mal.formats.tally import Tally
from mal.formats.yolo_in import yolo_splits
from mal.paths import is_url
from mal.reading import Exif

_OF_CONVERT = re.compile(r"--(skip-broken|normalized|one-based|split)\b")
_LOOKED_AT = 200  # names of pictures that are looked for in each folder
_FOLDERS = ("images", "JPEGImages")


@dataclass(frozen=True, slots=True)
class SourceRequest:
    """Annotations as a user names them.

    Attributes:
        annotations: path of a file or folder in any format that is read, or URL of a COCO file.
        images: folder of the pictures, or its URL; None finds them where the source says, or beside it.
        format: of the annotations; None recognizes it.
        split: the part to read of a data set that has parts, as "train"; None reads all.
        exif: what boxes are on in formats that do not say it.
        images_option: how messages call the option for ``images``.
    """

    annotations: str
    images: str | None = None
    format: str | None = None
    split: str | None = None
    exif: Exif = "stored"
    images_option: str = "--images"


@dataclass(frozen=True, slots=True)
class CocoSource:
    """Annotations as a COCO file.

    Attributes:
        annotations: the file, or its URL.
        images: folder of the pictures, or its URL.
        format: the format that the annotations came in.
        lines: what the conversion has to tell; empty for a COCO file.
    """

    annotations: str
    images: str
    format: str = "coco"
    lines: Sequence[str] = ()

    @property
    def remarks(self) -> Sequence[str]:
        """The lines on what was left out, changed or turned: all but where, how much, and the pictures."""
        return self.lines[2:-1]


def open_source(request: SourceRequest, cache: Path) -> CocoSource:
    """The COCO file of a source: the source itself, or what it becomes.

    A source in another format is converted as `mal convert` does. The result is used again as long as the settings and
    the files of the source are the same. Nothing is written into the source.

    Args:
        request: the source.
        cache: file to write the conversion to; ``<its stem>.source.json`` beside it says what it was made from.

    Raises:
        UserError: the source cannot be read or does not tell where its pictures are; one line names file and reason.
    """
    if is_url(request.annotations):
        return CocoSource(request.annotations, _named_images(request))
    path = Path(request.annotations)
    name = source_format(path, request.format)
    if name == "coco":
        return _as_it_is(path, request)
    if request.images is not None and is_url(request.images):
        raise UserError(f"{request.images_option} {request.images}: only COCO files go with pictures behind a URL")
    if not path.exists() and not is_pattern(path):
        raise UserError(f"{path} does not exist")
    try:
        return _converted(path, name, request, cache)
    except UserError as error:
        if not _OF_CONVERT.search(str(error)):
            raise
        raise UserError(
            f"{error}; `mal convert` has these options and makes a COCO file to give in its place"
        ) from None


def temporary_cache(name: str) -> Path:
    """A place for a conversion that is removed when the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="mal-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder / name


def has_split(path: str, split: str) -> bool:
    """Whether a source describes a split of this name.

    Raises:
        UserError: the format is not clear, or the description of the data set is broken.
    """
    return source_format(path) in ("yolo", "yolo-seg") and split in yolo_splits(Path(path))


def split_to_read(path: str, name: str | None, split: str) -> str | None:
    """The split of a source for one purpose; None where the source has no splits.

    Args:
        path: the source.
        name: of its format; None recognizes it.
        split: the wanted one.

    Raises:
        UserError: the format is not clear, or the description of the data set is broken.
    """
    if source_format(path, name) not in ("yolo", "yolo-seg"):
        return None
    return split if yolo_splits(Path(path)) else None


def _named_images(request: SourceRequest) -> str:
    if request.images is None:
        raise UserError(f"{request.annotations}: say where its pictures are with {request.images_option}")
    return request.images


def _as_it_is(path: Path, request: SourceRequest) -> CocoSource:
    file = coco_file_in(path) if path.is_dir() else path
    if request.images is not None:
        return CocoSource(str(file), request.images)
    return CocoSource(str(file), str(folder_of_pictures(read_coco(file), file, request.images_option)))


@dataclass(frozen=True, slots=True)
class _Record:
    """What a conversion was made from, in the file beside it."""

    source: str
    format: str
    images: str
    annotations_digest: str
    pictures: list[str]
    pictures_digest: str
    coco_digest: str
    lines: list[str]


def _converted(path: Path, name: str, request: SourceRequest, cache: Path) -> CocoSource:
    images = Path(request.images) if request.images is not None else None
    if images is not None and not images.is_dir():
        raise UserError(f"{request.images_option} {images}: no such folder")
    options = ReadOptions(images=images, split=request.split, exif=request.exif)
    beside = cache.with_name(f"{cache.stem}.source.json")
    before = _read_record(beside)
    if before is not None and _is_true(before, path, name, options, cache):
        return _opened(before, cache, f"{path} ({name}): its files are those of before, {cache} is used again")
    with working_on(str(path)):
        record = _convert(path, name, options, request.images_option, cache)
    write_json(asdict(record), beside)
    return _opened(record, cache, f"{path} ({name}) -> {cache} (coco)")


def _opened(record: _Record, cache: Path, first_line: str) -> CocoSource:
    return CocoSource(str(cache), record.images, record.format, [first_line, *record.lines])


def _convert(path: Path, name: str, options: ReadOptions, images_option: str, cache: Path) -> _Record:
    tally, annotations = Tally(), annotations_digest(path, name, options)
    found = read_something(path, name, options, tally)
    images = found.images or folder_of_pictures(found.coco, path, images_option)
    pictures = [image.file_name for image in found.coco.images.values()]
    state = pictures_digest(images, pictures)
    coco, turning = replace(found, images=images).turned_for("coco", tally, looked_at=images)
    write_coco(coco, cache, WriteOptions(), tally)
    lines = [*tally.lines(), *turning, f"the pictures: {images}"]
    return _Record(str(path), name, str(images), annotations, pictures, state, sha256(cache), lines)


def _read_record(path: Path) -> _Record | None:
    """What the last conversion was made from; None if there was none, or its record is damaged."""
    try:
        content: Any = json.loads(path.read_bytes())
        return _Record(**content)
    except (OSError, ValueError, TypeError):
        return None


def _is_true(before: _Record, path: Path, name: str, options: ReadOptions, cache: Path) -> bool:
    return (
        before.format == name
        and cache.is_file()
        and Path(before.images).is_dir()
        and before.annotations_digest == annotations_digest(path, name, options)
        and before.pictures_digest == pictures_digest(Path(before.images), before.pictures)
        and before.coco_digest == sha256(cache)
    )


def folder_of_pictures(coco: CocoFile, path: Path, option: str = "--images") -> Path:
    """The folder in or beside a source that holds most of its pictures.

    Args:
        coco: the annotations.
        path: file, folder or pattern that they were read from.
        option: for the message.

    Raises:
        UserError: none of the pictures is there.
    """
    base = path if path.is_dir() else path.parent
    while is_pattern(base):
        base = base.parent
    folders = [base, *(parent / name for parent in (base, base.parent) for name in _FOLDERS), base.parent]
    rows = np.unique(np.linspace(0, len(coco.images) - 1, min(len(coco.images), _LOOKED_AT)).astype(int))
    names = [coco.images.at(row).file_name for row in rows.tolist()]
    found = {folder: sum(_is_there(folder, name) for name in names) for folder in folders}
    best = max(folders, key=lambda folder: found[folder])
    if not found[best]:
        example = f" ({names[0]})" if names else ""
        raise UserError(
            f"{path}: none of its pictures{example} is in it or beside it: say where they are with {option}"
        )
    return best


def _is_there(folder: Path, name: str) -> bool:
    try:
        return image_path(folder, name).is_file()
    except UserError:  # a name that leads elsewhere
        return False
