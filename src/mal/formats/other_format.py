"""Recognize other formats in commands that read COCO only, and suggest the conversion."""

from __future__ import annotations

import shlex
from pathlib import Path

from mal.errors import UserError
from mal.file_kinds import HEAD_BYTES
from mal.formats.recognize import coco_file_in, input_format
from mal.paths import is_url

_NAMES = {
    "yolo": "a YOLO data set",
    "voc": "Pascal VOC",
    "labelme": "LabelMe",
    "label-studio": "a list of Label Studio's tasks",
    "csv": "a table",
    "cvat": "an archive of CVAT",
    "cvat-xml": "CVAT's XML",
    "png": "a folder of PNG masks",
}


def other_format(path: str | Path, shown: str | None = None) -> str | None:
    """Name the format of annotations that are not COCO, and the command that converts them.

    Args:
        path: a file or folder; one that is not there, and URLs, are left to the reader.
        shown: what stands for the path in the message; None shows it as it is.

    Returns:
        The end of a sentence about the path; None where it is COCO, or nothing that is known.
    """
    if is_url(path) or not Path(path).exists() or _is_plainly_coco(Path(path)):
        return None
    try:
        name = input_format(Path(path))
        if name == "coco":
            return _file_of_folder(Path(path)) if Path(path).is_dir() else None
    except UserError:  # nothing that is known, or several things: the reader says what is missing
        return None
    line = shlex.join(["mal", "convert", shown or str(path), "boxes.json"])
    return f"is {_NAMES[name]}, not a COCO file: `{line}` makes one, boxes.json, to give in its place"


def _file_of_folder(folder: Path) -> str:
    return f"is a folder: give {coco_file_in(folder).relative_to(folder)} in it"


def require_coco(path: str | Path, option: str = "") -> None:
    """Refuse annotations in another format.

    Args:
        path: as of `other_format`.
        option: what stands before the path in the message, as "--ann ".

    Raises:
        UserError: they are; the line that makes a COCO file of them is in the message.
    """
    said = other_format(path)
    if said is not None:
        raise UserError(f"{option}{path} {said}")


def _is_plainly_coco(path: Path) -> bool:
    """Whether the beginning of a file shows that it is COCO (or an empty list), without reading all of it."""
    if path.suffix.lower() != ".json" or not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError:  # the reader says why
        return True
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    return (text.startswith(b"{") and b'"images"' in head) or b"".join(text.split()) == b"[]"
