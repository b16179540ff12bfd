"""The files that a conversion into COCO reads, and a digest of them that tells when to convert again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from mal import __version__
from mal.files import dumps, sha256
from mal.formats.folders import ReadOptions, annotation_files
from mal.formats.label_studio import config_file
from mal.formats.yolo_in import yolo_files

_YOLO = ("yolo", "yolo-seg")
_SUFFIXES = {"voc": (".xml",), "labelme": (".json", ".txt"), "cvat-xml": (".xml",)}  # of the files in a folder


def annotations_digest(path: Path, name: str, options: ReadOptions) -> str:
    """A digest of the settings and the annotation files of a source; take it before they are read.

    Files count with their content, also where size and time are those of before.

    Args:
        path: the source.
        name: of its format.
        options: how it is read.

    Raises:
        UserError: a file is missing or cannot be read.
    """
    texts, pictures = yolo_files(path, options) if name in _YOLO else (list(_annotations(path, name)), [])
    images = str(options.images.absolute()) if options.images is not None else None
    digest = hashlib.sha256(dumps([__version__, name, options.split, options.exif, str(path.absolute()), images]))
    for file in texts:
        digest.update(dumps([_name(file), sha256(file)]))
    for file in pictures:
        digest.update(dumps(_state(file)))
    return digest.hexdigest()


def pictures_digest(images: Path, names: Iterable[str]) -> str:
    """A digest of the sizes and times of change of pictures.

    Of pictures, width, height and orientation matter, which do not change without these.

    Args:
        images: their folder.
        names: their names in it.
    """
    digest = hashlib.sha256(dumps(_name(images)))
    for name in names:
        digest.update(dumps(_state(images / name)))
    return digest.hexdigest()


def _annotations(path: Path, name: str) -> Iterator[Path]:
    if path.is_dir():
        suffixes = _SUFFIXES.get(name)
        yield from (
            file
            for file in sorted(path.rglob("*"))
            if (suffixes is None or file.suffix.lower() in suffixes) and file.is_file()
        )
        return
    files, folder = annotation_files(path, "") if name in _SUFFIXES else ([path], path.parent)
    beside = (config_file(path), folder / "labels.txt")  # they name the classes
    yield from (*files, *(file for file in beside if file.is_file()))


def _name(file: Path) -> str:
    return str(file.absolute()).encode("utf-8", "backslashreplace").decode()


def _state(file: Path) -> tuple[str, int, int]:
    """Name, size and time of change; zeros where the file is not there, as the reader will say."""
    try:
        state = file.stat()
    except (OSError, ValueError):  # also a name that no file can have
        return _name(file), 0, 0
    return _name(file), state.st_size, state.st_mtime_ns
