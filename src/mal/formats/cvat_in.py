"""Read COCO 1.0 archives as CVAT exports them."""

from __future__ import annotations

import zipfile
from pathlib import Path

from mal.data.coco import CocoFile, read_coco
from mal.errors import UserError
from mal.formats.options import ReadOptions
from mal.formats.tally import Tally


def _unpacked(path: Path, folder: Path) -> Path:
    """The annotation file of an archive, as a file in ``folder``.

    Raises:
        UserError: it is no archive, or not one with a single annotation file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [
                name
                for name in archive.namelist()
                if name.endswith(".json") and (name.startswith("annotations/") or "/" not in name)
            ]
            if len(members) != 1:
                found = ", ".join(members) or "none"
                raise UserError(
                    f"{path}: an archive of CVAT has one annotations/instances_*.json, this one has {found}"
                )
            target = folder / "annotations.json"
            with archive.open(members[0]) as source, target.open("wb") as file:
                while block := source.read(2**20):
                    file.write(block)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise UserError(f"{path} is damaged or no zip archive: {error}") from error
    return target


def read_cvat(path: Path, options: ReadOptions, tally: Tally, folder: Path) -> CocoFile:
    """Read an archive; its annotation file is unpacked into ``folder`` and stays in use.

    Raises:
        UserError: it is damaged, or no archive of CVAT.
    """
    coco = read_coco(_unpacked(path, folder))
    coco.path = path
    return coco
