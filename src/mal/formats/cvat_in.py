"""Read archives as CVAT exports them: "COCO 1.0", or "CVAT for images 1.1"."""

from __future__ import annotations

import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import IO

from mal.data.coco import CocoFile, read_open_coco
from mal.errors import UserError, one_line
from mal.formats.cvat_xml import read_cvat_root
from mal.formats.options import ReadOptions
from mal.formats.tally import Tally
from mal.formats.xml_file import xml_root
from mal.limits import MAX_UNPACKED_BYTES, MAX_UNPACKED_RATIO, UNPACKED_BYTES_IN_ANY_CASE

_XML = "annotations.xml"
_BLOCK = 2**20
_WANTED = "an archive of CVAT has one annotations/instances_*.json (COCO 1.0) or annotations.xml (CVAT for images 1.1)"


def read_cvat(path: Path, options: ReadOptions, tally: Tally) -> CocoFile:
    """Read an archive.

    Its annotation file is unpacked into a file without a name, of which nothing is left however the process ends.

    Raises:
        UserError: it is damaged, no archive of CVAT, or its annotations are too large for what they take in it.
    """
    try:
        with zipfile.ZipFile(path) as archive, tempfile.TemporaryFile() as file:
            member = _annotations(archive, path)
            _check_size(member, path)
            with archive.open(member) as source:
                if member.filename == _XML:
                    return read_cvat_root(xml_root(source.read(), path), path, options, tally)
                _copy(source, file)
            return read_open_coco(path, file.fileno())
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise UserError(f"{path} is damaged or no zip archive: {one_line(error)}") from error
    except OSError as error:
        raise UserError(f"{path} cannot be unpacked: {error.strerror or error}") from error


def _annotations(archive: zipfile.ZipFile, path: Path) -> zipfile.ZipInfo:
    members = [member for member in archive.infolist() if _may_be_annotations(member.filename)]
    if len(members) != 1:
        found = ", ".join(member.filename for member in members) or "none"
        raise UserError(f"{path}: {_WANTED}, this one has {found}: unpack it and give what is in it")
    return members[0]


def _may_be_annotations(name: str) -> bool:
    return name == _XML or (name.endswith(".json") and (name.startswith("annotations/") or "/" not in name))


def _check_size(member: zipfile.ZipInfo, path: Path) -> None:
    """Refuse what would fill the disk, by the sizes that the archive declares; no more than those is unpacked."""
    size, packed = member.file_size, member.compress_size
    is_bomb = size > UNPACKED_BYTES_IN_ANY_CASE and size > MAX_UNPACKED_RATIO * packed
    if size > MAX_UNPACKED_BYTES or is_bomb:
        limit = f"at most {MAX_UNPACKED_BYTES:,} bytes and {MAX_UNPACKED_RATIO} times its packed size are unpacked"
        raise UserError(
            f"{path}: {member.filename} has {size:,} bytes, from {packed:,} in the archive, and {limit}:"
            " if you trust it, unpack it yourself and give that file"
        )


def _copy(source: IO[bytes], target: IO[bytes]) -> None:
    while block := source.read(_BLOCK):
        target.write(block)
    target.flush()
