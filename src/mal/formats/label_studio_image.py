"""Which picture a task of Label Studio is about."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from mal.data.coco import show
from mal.formats.by_image import Json
from mal.formats.pictures import SUFFIXES

_ADDRESS = re.compile(r"(https?|s3|gs|azure-blob|file)://|/data/|data:image/", re.IGNORECASE)
_UPLOADED = re.compile(r"[0-9a-f]{8}-(.+)")  # what Label Studio puts before the names of uploaded files


def named_for(data: Json, images: Path | None) -> str:
    """The file name of the picture in the data of a task.

    Args:
        data: its values by name.
        images: folder of the pictures, in which they may lie under the names before their upload; None if not known.

    Raises:
        ValueError: there is none.
    """
    addresses = picture_names(data)
    if not addresses:
        raise ValueError("no image under data: a task has the address of one picture there")
    if addresses[0].startswith("data:"):
        raise ValueError("its picture is in the task itself (data:image) and has no file name")
    name = _file_name(addresses[0])
    if not name:
        raise ValueError(f"the address of its image ends without a file name: {show(addresses[0])}")
    before = _UPLOADED.fullmatch(PurePosixPath(name).name)
    if before and images is not None and not (images / name).is_file() and (images / before[1]).is_file():
        return before[1]
    return name


def picture_names(data: Json) -> list[str]:
    """The values that are, or look like, addresses of pictures; that under ``image`` first."""
    first = data.get("image")
    texts = [value for value in data.values() if isinstance(value, str) and value is not first]
    found = [text for text in texts if _ADDRESS.match(text) or _suffix(text) in SUFFIXES]
    return [first, *found] if isinstance(first, str) and first else found


def _suffix(address: str) -> str:
    return PurePosixPath(address.partition("?d=")[2] or address.partition("?")[0]).suffix.lower()


def _file_name(address: str) -> str:
    local = address.partition("?d=")[2]
    return unquote(local or address.partition("?")[0].rpartition("/")[2])
