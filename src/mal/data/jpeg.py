"""Decode JPEG strictly and detect truncated data, also inside TIFF, where libtiff hides warnings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, cast

import numpy as np
import numpy.typing as npt
from PIL import Image

from mal.limits import MAX_JPEG_SCANS

_JPEG = 7  # of the tag for compression
_COMPRESSION, _SAMPLES, _PLANES, _TABLES = 259, 277, 284, 347
_STRIPS, _TILES = (273, 279), (324, 325)  # tags of where each begins and how long it is
_COLORS: dict[int, Colors] = {1: "GRAY", 3: "GRAY", 4: "CMYK"}  # by number of samples; the others cannot be decoded


def require_whole_jpeg_inside(picture: Image.Image, content: bytes) -> None:
    """Check that the JPEG data inside a TIFF is complete; other files pass.

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
    if tags.get(_COMPRESSION) != _JPEG or samples not in _COLORS:
        return
    for stream in _streams(tags, content):
        decode_jpeg(stream, _COLORS[samples])


def _streams(tags: Any, content: bytes) -> Iterator[bytes]:
    """Yield each strip or tile as a JPEG file of its own, with the shared tables."""
    tables = cast(bytes, tags.get(_TABLES, b"\xff\xd8")).removesuffix(b"\xff\xd9")
    starts, lengths = (tags.get(tag, ()) for tag in (_TILES if _TILES[0] in tags else _STRIPS))
    for start, length in zip(starts, lengths, strict=False):
        yield tables + content[start + 2 : start + length]


Colors = Literal["RGB", "CMYK", "GRAY"]

_END, _SCAN = 0xD9, 0xDA
_SCAN_MARK = bytes((0xFF, _SCAN))
_FRAMES = frozenset((*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)))
_PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)
_JFIF, _ADOBE = 0xE0, 0xEE
_COEFFICIENTS = 64  # of a block
# Neither a stuffed byte nor a restart, which are parts of a scan.
_MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])")
_BEFORE_THE_END = re.compile(r"(\d+) extraneous bytes before marker 0xd9")
_HEADER_FAULT = re.compile(
    r"JFIF revision|Adobe color transform|Invalid SOS|extraneous bytes before marker 0x(?!d[0-79])"
)
_READ_AHEAD = 8  # bytes that the decoder has taken from the data before it finds out that it needs none


class DamagedJpegError(ValueError):
    """A JPEG is truncated or damaged."""


class Segment(NamedTuple):
    """A part of a JPEG file: its marker, where that begins, and where its content begins and ends."""

    marker: int
    at: int
    start: int
    stop: int


def decode_jpeg(content: bytes, colors: Colors = "RGB") -> npt.NDArray[np.uint8] | None:
    """Decode a JPEG, or the first of several in a file, to exactly the pixels that Pillow gives.

    Args:
        content: the file.
        colors: of the result; ``CMYK`` for files that have four inks, as these are stored, and for no others.

    Returns:
        (H, W, channels) uint8; None for a file with factors of subsampling that only Pillow decodes.

    Raises:
        DamagedJpegError: the picture is not whole.
        MemoryError: there is not enough for the pixels.
    """
    if (scans := content.count(_SCAN_MARK)) > MAX_JPEG_SCANS:
        raise DamagedJpegError(f"it has {scans} scans, and an honest file a few dozen")
    try:
        pixels = _decode(content, colors)
    except ValueError as error:
        said = str(error)
        if "subsampling level" in said:
            return None
        if is_out_of_memory(said):
            raise MemoryError(said) from error
        sound = _with_sound_header(content) if _HEADER_FAULT.search(said) else _without_padding(content, said)
        if sound == content:
            raise DamagedJpegError(said) from error
        return decode_jpeg(sound, colors)  # the decoder reports only the first fault of a file
    if not _has_all_scans(content):
        raise DamagedJpegError("some of its scans are missing")
    return pixels


def is_out_of_memory(said: str) -> bool:
    """Whether a decoder's error means too little memory, not a damaged file."""
    return bool(re.search(r"out of memory|insufficient memory|memory allocation", said, re.IGNORECASE))


def _decode(content: bytes, colors: Colors) -> npt.NDArray[np.uint8]:
    from simplejpeg import decode_jpeg as decode  # here, since not all that reads pictures needs it

    pixels: npt.NDArray[np.uint8] = decode(content, colors)
    return pixels


def _segments(content: bytes) -> Iterator[Segment]:
    """Yield the segments of the first image in a file as a decoder finds them, skipping bytes between."""
    position = 2
    while found := _MARKER.search(content, position):
        marker, start = found[1][0], found.end()
        length = 0 if marker == _END else int.from_bytes(content[start : start + 2], "big")
        yield Segment(marker, found.start(), start, start + length)
        if marker == _END:
            return
        position = start + length


def _without_padding(content: bytes, said: str) -> bytes:
    """Remove padding before the end marker, if that is what the decoder reports.

    Zeros that took the place of a part of the picture are decoded, up to where they are too many: those stay.
    """
    match = _BEFORE_THE_END.search(said)
    end = next((segment.at for segment in _segments(content) if segment.marker == _END), None)
    if match is None or end is None:
        return content
    data, left_over = content[:end].rstrip(b"\xff"), int(match[1])
    run = len(data) - len(data.rstrip(data[-1:]))
    return data[:-left_over] + content[end:] if left_over <= run <= left_over + _READ_AHEAD else content


def _has_all_scans(content: bytes) -> bool:
    """Whether the scans of a file hold every coefficient of every component with all its bits.

    A file that was cut off between two scans and got an end mark is decoded without a warning.
    """
    missing: set[tuple[int, int]] = set()
    is_progressive = False
    for segment in _segments(content):
        part = content[segment.start : segment.stop]
        if segment.marker in _FRAMES:
            is_progressive = segment.marker in _PROGRESSIVE
            missing = {(component, index) for component in part[8::3] for index in range(_COEFFICIENTS)}
        elif segment.marker == _SCAN:
            components, (first, last, bits) = part[3:-3:2], part[-3:]
            if not is_progressive:
                first, last, bits = 0, _COEFFICIENTS - 1, 0
            if bits & 15 == 0:
                missing -= {(component, index) for component in components for index in range(first, last + 1)}
            if not missing:
                return True
    return False


def _with_sound_header(content: bytes) -> bytes:
    """Remove header faults that decoders only warn about, so that they report real damage."""
    segments = list(_segments(content))
    scan = next((index for index, segment in enumerate(segments) if segment.marker == _SCAN), None)
    if scan is None:
        return content
    frame = next((segment for segment in segments[:scan] if segment.marker in _FRAMES), segments[0])
    components, is_progressive = content[frame.start + 7], frame.marker in _PROGRESSIVE
    sound = bytearray(content)
    for segment in segments:
        part = content[segment.start : segment.stop]
        if segment.marker == _JFIF and part[2:7] == b"JFIF\0":
            sound[segment.start + 7 : segment.start + 9] = b"\1\1"
        elif segment.marker == _ADOBE and part[2:7] == b"Adobe" and part[13]:
            sound[segment.start + 13] = 1 if components == 3 else 2
        elif segment.marker == _SCAN and not is_progressive:
            sound[segment.stop - 3 : segment.stop] = bytes((0, _COEFFICIENTS - 1, 0))
    header = [bytes((0xFF, part.marker)) + sound[part.start : part.stop] for part in segments[: scan + 1]]
    return b"".join((content[:2], *header, sound[segments[scan].stop :]))
