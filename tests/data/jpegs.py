"""JPEG files made by script, whole and damaged."""

from __future__ import annotations

import io
import struct

import numpy as np
from PIL import Image

SCAN, END = b"\xff\xda", b"\xff\xd9"


def photo_like(width: int = 160, height: int = 120) -> Image.Image:
    """Soft colours with some grain, which cost a JPEG about as much as a photo does."""
    rng = np.random.default_rng(0)
    soft = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)).resize((width, height), Image.BICUBIC)
    grain = rng.normal(0, 12, (height, width, 3))
    return Image.fromarray(np.clip(np.asarray(soft) + grain, 0, 255).astype(np.uint8))


def jpeg(mode: str = "RGB", image: Image.Image | None = None, **options) -> bytes:
    """The photo as a JPEG; options as Pillow has them."""
    buffer = io.BytesIO()
    (image or photo_like()).convert(mode).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def as_mpo(content: bytes) -> bytes:
    """The picture as the first of two in a file, as stereo cameras write them."""
    buffer = io.BytesIO()
    Image.open(io.BytesIO(jpeg())).save(buffer, "MPO", save_all=True, append_images=[photo_like()])
    first_end = buffer.getvalue().index(END + b"\xff\xd8") + 2
    header_end = buffer.getvalue().index(b"\xff\xdb")
    return buffer.getvalue()[:header_end] + content[content.index(b"\xff\xdb") :] + buffer.getvalue()[first_end:]


def as_tiff(content: bytes, width: int = 160, height: int = 120) -> bytes:
    """A TIFF of one strip of JPEG data."""
    shorts = {256: width, 257: height, 258: 8, 259: 7, 262: 6, 277: 3, 278: height, 284: 1}
    entries = [(tag, 3, 1, struct.pack("<HH", value, 0)) for tag, value in shorts.items()]
    entries += [(273, 4, 1, struct.pack("<L", 200)), (279, 4, 1, struct.pack("<L", len(content)))]
    entries += [(530, 3, 2, struct.pack("<HH", 2, 2))]
    table = b"".join(struct.pack("<HHL", *entry[:3]) + entry[3] for entry in sorted(entries))
    head = b"II*\0" + struct.pack("<LH", 8, len(entries)) + table + bytes(4)
    return head.ljust(200, b"\0") + content


def scan_start(content: bytes) -> int:
    """Where the first scan's data begins."""
    at = content.index(SCAN)
    return at + 2 + int.from_bytes(content[at + 2 : at + 4], "big")


def to_path(content: bytes, share: float) -> int:
    """A place in the data of the scans, as a share of all of it."""
    start = scan_start(content)
    return start + int((len(content) - 2 - start) * share)


def cut_with_end_mark(content: bytes, share: float = 0.5) -> bytes:
    """The first part of a file, closed as if it were all."""
    return content[: to_path(content, share)] + END


def with_hole(content: bytes, length: int = 700) -> bytes:
    """A lost sector: zeros in the middle."""
    return replaced(content, bytes(length))


def with_random_sector(content: bytes) -> bytes:
    """A sector of another file in the middle."""
    other = np.random.default_rng(1).integers(0, 255, 512, dtype=np.uint8)  # without 0xff: no markers
    return replaced(content, other.tobytes())


def with_zero_tail(content: bytes, share: float = 0.5) -> bytes:
    """A copy that broke off: zeros from some place to the end of the file."""
    return content[: to_path(content, share)].ljust(len(content), b"\0")


def with_zero_tail_and_end_mark(content: bytes) -> bytes:
    """The same with the last two bytes as they were."""
    return with_zero_tail(content)[:-2] + END


def with_ff_tail(content: bytes) -> bytes:
    """Erased flash memory in place of the second half."""
    return content[: to_path(content, 0.5)].ljust(len(content), b"\xff")


def without_scans(content: bytes, kept: int) -> bytes:
    """A progressive file after some whole scans, closed as if it were all."""
    parts = content.split(SCAN)
    return SCAN.join(parts[: kept + 1])[: -_tables_behind(parts[kept])] + END


def with_stray_bytes(content: bytes, stray: bytes = bytes(7)) -> bytes:
    """Bytes in front of the end mark, as some cameras write them."""
    return content[:-2] + stray + END


def with_stray_bytes_before_scan(content: bytes) -> bytes:
    """Bytes between two segments of the header."""
    return content.replace(SCAN, bytes(5) + SCAN, 1)


def with_jfif_version(content: bytes, major: int = 0) -> bytes:
    """Another version number of the header."""
    at = content.index(b"JFIF\0") + 5
    return content[:at] + bytes((major, 0)) + content[at + 2 :]


def with_odd_scan_parameters(content: bytes) -> bytes:
    """Parameters of progressive scans, left at zero in a file that is none."""
    start = scan_start(content)
    return content[: start - 3] + bytes(3) + content[start:]


def replaced(content: bytes, sector: bytes) -> bytes:
    """Some bytes in the middle of the scans in place of others."""
    at = to_path(content, 0.5)
    return content[:at] + sector + content[at + len(sector) :]


def _tables_behind(scan: bytes) -> int:
    """How many bytes at the end of a scan are the Huffman table of the next one."""
    return len(scan) - scan.rindex(b"\xff\xc4") if b"\xff\xc4" in scan else -len(scan)
