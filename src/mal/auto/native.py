"""The format in which a data set came in, as far as it has masks, and the parts that it is written in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mal.coco.coco_file import CocoFile
from mal.formats.formats import WITH_MASKS
from mal.formats.yolo_in import pictures_of_split, yolo_splits
from mal.formats.yolo_out import SPLITS

_FILES = {"label-studio": "tasks.json", "cvat": "cvat.zip"}


def native_format(source_format: str, target_format: str | None) -> str | None:
    """The format to write beside masks.json; None where that is COCO itself, or has no place for masks."""
    wanted = target_format or WITH_MASKS.get(source_format)
    return None if wanted == "coco" else wanted


def native_path(root: Path, name: str) -> Path:
    """The file or folder of a format in a folder."""
    return root / _FILES.get(name, name)


@dataclass(frozen=True, slots=True)
class Part:
    """Pictures that are written together.

    Attributes:
        split: name of the split; None for a data set without.
        images: folder of the pictures.
        names: file names in that folder by id; None means all pictures under their own names.
    """

    split: str | None
    images: Path
    names: Mapping[Any, str] | None = None


def parts_of(
    source: Path, source_format: str, target: str, coco: CocoFile, images: Path, given_images: Path | None = None
) -> list[Part]:
    """The parts of a data set to write: the user's own splits where it comes in as YOLO and goes out as YOLO.

    Args:
        source: as the user gave it.
        source_format, target: formats.
        coco: the data set, with all pictures.
        images: folder of the pictures.
        given_images: likewise, if the user named it.
    """
    is_yolo = {source_format, target} <= {"yolo", "yolo-seg"}
    splits = yolo_splits(source) if is_yolo else []
    if not splits or not set(splits) <= set(SPLITS):
        return [Part(None, images)]
    ids = {_place(images / image.file_name): image.id for image in coco.images.values()}
    parts, taken = [], set[Any]()
    for split in splits:
        pictures, folder = pictures_of_split(source, split, given_images)
        known = {ids[place]: place for picture in pictures if (place := _place(picture)) in ids}
        if folder is not None and (new := {key: place for key, place in known.items() if key not in taken}):
            names = {key: os.path.relpath(place, folder).replace(os.sep, "/") for key, place in new.items()}
            parts.append(Part(split, folder, names))
            taken |= set(new)
    return parts


def _place(path: Path) -> str:
    return os.path.normpath(path.absolute())
