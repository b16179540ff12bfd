"""Look whether JPEG data inside a TIFF is whole: the library that decodes TIFF keeps the warnings to itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from PIL import Image

from mal.data.jpeg import Colours, decode_jpeg

_JPEG = 7  # of the tag for compression
_COMPRESSION, _SAMPLES, _PLANES, _TABLES = 259, 277, 284, 347
_STRIPS, _TILES = (273, 279), (324, 325)  # tags of where each begins and how long it is
_COLOURS: dict[int, Colours] = {1: "GRAY", 3: "GRAY", 4: "CMYK"}  # by number of samples; the others cannot be decoded


def require_whole_jpeg_inside(picture: Image.Image, content: bytes) -> None:
    """Nothing, where a picture is no TIFF with JPEG data, or this data is whole.

    Args:
        picture: opened, maybe not decoded.
        content: its file.

    Raises:
        DamagedJpegError: some of the picture is missing or was changed.
        MemoryError: as of `mal.data.jpeg.decode_jpeg`.
    """
    if picture.format != "TIFF":
        return
    tags = picture.tag_v2  # type: ignore[attr-defined]
    samples = tags.get(_SAMPLES, 1) if tags.get(_PLANES, 1) == 1 else 1
    if tags.get(_COMPRESSION) != _JPEG or samples not in _COLOURS:
        return
    for stream in _streams(tags, content):
        decode_jpeg(stream, _COLOURS[samples])


def _streams(tags: Any, content: bytes) -> Iterator[bytes]:
    """Each strip or tile as a JPEG file of its own, with the tables that all share."""
    tables = cast(bytes, tags.get(_TABLES, b"\xff\xd8")).removesuffix(b"\xff\xd9")
    starts, lengths = (tags.get(tag, ()) for tag in (_TILES if _TILES[0] in tags else _STRIPS))
    for start, length in zip(starts, lengths, strict=False):
        yield tables + content[start + 2 : start + length]
