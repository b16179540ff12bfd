"""Recognize a file by its first bytes, for error messages: a Git LFS pointer, a web page, a video.

One list for all inputs: images, JSON, checkpoints.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

HEAD_BYTES = 1024
"""Number of leading bytes that identify a file."""

Group = Literal["picture", "json", "zip", "pickle", "safetensors", "xml", "text", "other"]

_SHOWN = 40  # characters of a text
_COPY = "copy or download it again"
_SAVE = "save it as PNG or JPEG"
_UNPACK = "unpack it first"


@dataclass(frozen=True, slots=True)
class FileKind:
    """A kind of file.

    Attributes:
        name: completes "the file is ...".
        advice: what to do if another kind was expected; empty if there is no general advice.
        group: the readers of this kind.
    """

    name: str
    advice: str = ""
    group: Group = "other"


def file_kind(head: bytes) -> FileKind | None:
    """Recognize the kind of a file; None if its bytes are not known.

    Args:
        head: the first `HEAD_BYTES` of the file, or all bytes of a shorter one.
    """
    return next(_kinds(head), None)


def said_kind(head: bytes, wanted: str, *groups: Group) -> str | None:
    """Describe an unexpected file, such as "is a Git LFS pointer, not a picture: git lfs pull gets it".

    Args:
        head: as in `file_kind`.
        wanted: the expected kind, with its article.
        groups: groups of the expected kind, for which nothing is returned.

    Returns:
        The end of a sentence about the file; None if the kind is expected or unknown.
    """
    kind = file_kind(head)
    if kind is None or kind.group in groups:
        return None
    what = kind.name if kind.name.endswith(wanted.split()[-1]) else f"{kind.name}, not {wanted}"
    return f"is {what}" + (f": {kind.advice}" if kind.advice else "")


def describe_file_kind(path: Path, wanted: str, *groups: Group) -> str | None:
    """`said_kind` of an existing, readable file."""
    with path.open("rb") as file:
        return said_kind(file.read(HEAD_BYTES), wanted, *groups)


_BEGINNINGS: tuple[tuple[bytes, FileKind], ...] = (
    (b"\xff\xd8\xff", FileKind("a JPEG picture", group="picture")),
    (b"\x89PNG\r\n\x1a\n", FileKind("a PNG picture", group="picture")),
    (b"GIF8", FileKind("a GIF picture", group="picture")),
    (b"II*\0", FileKind("a TIFF picture", group="picture")),
    (b"MM\0*", FileKind("a TIFF picture", group="picture")),
    (b"II+\0", FileKind("a TIFF picture", group="picture")),
    (b"MM\0+", FileKind("a TIFF picture", group="picture")),
    (b"\0\0\0\x0cJXL ", FileKind("a JPEG XL picture", _SAVE)),
    (b"\xff\x0a", FileKind("a JPEG XL picture", _SAVE)),
    (b"\0\0\0\x0cjP  ", FileKind("a JPEG 2000 picture", _SAVE)),
    (b"\xff\x4f\xff\x51", FileKind("a JPEG 2000 picture", _SAVE)),
    (b"8BPS", FileKind("a Photoshop file", _SAVE)),
    (b"gimp xcf", FileKind("a GIMP file", _SAVE)),
    (b"FUJIFILMCCD-RAW", FileKind("a camera's raw file", _SAVE)),
    (b"v/1\x01", FileKind("an OpenEXR picture", _SAVE)),
    (b"DDS ", FileKind("a DDS texture", _SAVE)),
    (b"\0\0\x01\0", FileKind("a Windows icon", _SAVE)),
    (b"SIMPLE  =", FileKind("a FITS file", _SAVE)),
    (b"%PDF-", FileKind("a PDF document", _SAVE)),
    (b"%!", FileKind("a PostScript or EPS drawing", _SAVE)),
    (b"\xc5\xd0\xd3\xc6", FileKind("a PostScript or EPS drawing", _SAVE)),
    (b"\x1aE\xdf\xa3", FileKind("a video", "save its frames as pictures")),
    (b"FLV\x01", FileKind("a video", "save its frames as pictures")),
    (b"\0\0\x01\xba", FileKind("a video", "save its frames as pictures")),
    (b"\0\0\x01\xb3", FileKind("a video", "save its frames as pictures")),
    (b"OggS", FileKind("an Ogg file")),
    (b"\x1f\x8b", FileKind("a gzip file", "unpack it first (gunzip)")),
    (b"PK\x03\x04", FileKind("a zip archive", _UNPACK, "zip")),
    (b"PK\x05\x06", FileKind("an empty zip archive", _COPY, "zip")),
    (b"BZh", FileKind("a bzip2 file", "unpack it first (bunzip2)")),
    (b"\xfd7zXZ\0", FileKind("an xz file", "unpack it first (unxz)")),
    (b"\x28\xb5\x2f\xfd", FileKind("a Zstandard file", "unpack it first (unzstd)")),
    (b"7z\xbc\xaf\x27\x1c", FileKind("a 7z archive", _UNPACK)),
    (b"Rar!\x1a\x07", FileKind("a RAR archive", _UNPACK)),
    (b"\x89HDF\r\n\x1a\n", FileKind("an HDF5 file")),
    (b"\x93NUMPY", FileKind("a NumPy array")),
    (b"SQLite format 3\0", FileKind("an SQLite database")),
    (b"\x7fELF", FileKind("a program")),
    (b"\0\x05\x16\x07", FileKind("what macOS keeps beside a file", "the file itself is the one without ._ in front")),
    (b"\0\x05\x16\0", FileKind("what macOS keeps beside a file", "the file itself is the one without ._ in front")),
    (b"bplist00", FileKind("a property list of macOS", "download the file itself from the cloud first")),
    (b"version https://git-lfs", FileKind("a Git LFS pointer", "git lfs pull fetches the file itself")),
    (b"version https://hawser", FileKind("a Git LFS pointer", "git lfs pull fetches the file itself")),
    (b"/annex/objects/", FileKind("a git-annex pointer", "git annex get fetches the file itself")),
    (b"outs:\n- ", FileKind("a DVC pointer", "dvc pull fetches the file itself")),
)
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_AVIF_BRANDS = (b"avif", b"avis")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_HTML = re.compile(rb"(<!--.*?-->\s*)*<(!doctype\s+html|html|head|body|title|script|meta|center|h1|p)\b", re.I | re.S)


def _kinds(head: bytes) -> Iterator[FileKind]:
    if not head:
        yield FileKind("empty", _COPY)
    if not head.strip(b"\0"):
        yield FileKind("nothing but zeros at its beginning", f"a copy that broke off leaves such files; {_COPY}")
    yield from (kind for beginning, kind in _BEGINNINGS if head.startswith(beginning))
    yield from _kinds_with_marks_further_in(head)
    yield from _texts(head.removeprefix(_BYTE_ORDER_MARK).lstrip())


def _kinds_with_marks_further_in(head: bytes) -> Iterator[FileKind]:
    if head[4:8] == b"ftyp":
        yield _boxed(head)
    if head[:4] == b"RIFF":
        kinds = {b"WEBP": FileKind("a WebP picture", group="picture"), b"AVI ": FileKind("a video")}
        yield kinds.get(head[8:12], FileKind("a RIFF file"))
    if head[:2] == b"BM" and head[6:10] == b"\0\0\0\0":
        yield FileKind("a BMP picture", group="picture")
    if re.match(rb"P[1-6]\s", head):
        yield FileKind("a PPM picture", group="picture")
    if head[:2] == b"MZ" and b"\0" in head:
        yield FileKind("a program")
    if head[128:132] == b"DICM":
        yield FileKind("a DICOM file", _SAVE)
    if head[257:262] == b"ustar":
        yield FileKind("a tar archive", _UNPACK)
    if re.match(rb"\x80[\x02-\x05]", head):
        yield FileKind("a Python pickle", group="pickle")
    if head[3:9] == b"\0\0\0\0\0{":
        yield FileKind("a safetensors file", group="safetensors")


def _boxed(head: bytes) -> FileKind:
    """Recognize a file of ISO boxes by its brands; the first brand may be a general one."""
    end = min(int.from_bytes(head[:4], "big"), len(head))
    brands = {head[8:12], *(head[at : at + 4] for at in range(16, end, 4))}
    if brands.intersection(_AVIF_BRANDS):
        return FileKind("an AVIF picture", group="picture")
    if brands.intersection(_HEIF_BRANDS):
        return FileKind("a HEIC picture", _SAVE)
    return FileKind("a camera's raw file", _SAVE) if b"crx " in brands else FileKind("a video")


def _texts(head: bytes) -> Iterator[FileKind]:
    """Kinds of text, recognized by their first word."""
    if not head:
        yield FileKind("empty but for blanks", _COPY)
    if _HTML.match(head) or (head[:5] == b"<?xml" and b"<html" in head.lower()):
        yield FileKind("a web page (HTML)", "a login or an error page was saved in its place; download it again")
    if head[:1] == b"<" and b"<svg" in head:
        yield FileKind("an SVG drawing", _SAVE)
    if head[:5] == b"<?xml":
        yield FileKind("an XML document", group="xml")
    if head[:1] in (b"{", b"["):
        yield FileKind("a JSON text", group="json")
    line = head.split(b"\n", 1)[0].decode("utf-8", "replace").strip()
    if b"\0" not in head and line.isprintable() and "\ufffd" not in line[:_SHOWN]:
        yield FileKind(f'a text that begins with "{line[:_SHOWN]}"', group="text")
