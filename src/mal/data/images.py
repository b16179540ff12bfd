"""Decode pictures to RGB arrays, as they are stored or as viewers turn them.

Damaged files are errors, never grey filler.
"""

from __future__ import annotations

import io
import os
import posixpath
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from mal.data.coco import CocoFile, show
from mal.data.image_table import ImageRecord
from mal.data.notes import RecordNote
from mal.data.orientation import Exif, orientation_of, picture_size, turn_after_decoding, turned_pixels, turned_size
from mal.errors import UserError, one_line
from mal.places import is_url

Pixels = npt.NDArray[np.uint8]

# Reading headers is waiting for a disk, and more so where the disk is somewhere else.
HEADER_THREADS = 8
_JPEG_MODES = ("RGB", "L")  # four inks are converted by Pillow alone


def image_path(img_dir: Path, file_name: str) -> Path:
    """The path of a record's picture.

    Symbolic links inside the folder are followed: only the name itself must not lead out of it.

    Raises:
        UserError: the name leads out of ``img_dir`` or is no file name.
    """
    refusal = UserError(f"image file name {show(file_name)} leads out of the image folder {img_dir}: refused")
    if is_url(img_dir):
        inside = posixpath.normpath(file_name)
        if "\0" in file_name or inside in (".", "..") or inside.startswith(("/", "../")) or is_url(file_name):
            raise refusal
        return img_dir / inside
    folder = Path(os.path.normpath(Path(img_dir).absolute()))
    path = Path(os.path.normpath(folder / file_name))
    if "\0" in file_name or path == folder or not path.is_relative_to(folder):
        raise refusal
    return Path(img_dir) / path.relative_to(folder)


def read_image(path: Path, exif: Exif = "stored") -> Pixels:
    """Decode one picture.

    Args:
        path: any format that Pillow reads. Grey, palette, CMYK and 16-bit pictures are converted, alpha is dropped.
        exif: pixels as they are stored, as COCO's sizes and boxes go by; or upright, as viewers turn them by their
            EXIF orientation. The same for every format.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        UserError: the file is missing, damaged, no picture, or too large to be one (Pillow's decompression limit).
    """
    with _opened(path) as file:
        content = file.read()
    with _picture(path, io.BytesIO(content)) as image:
        try:
            turn = turn_after_decoding(image, exif)
            rgb = _jpeg_pixels(content) if image.format == "JPEG" and image.mode in _JPEG_MODES else None
            if rgb is None:
                image.load()
                rgb = pixels_of(image)
        # Pillow's decoders raise nearly every built-in error type on damaged bytes.
        except Exception as error:
            raise UserError(f"image {path} is damaged or cannot be decoded: {one_line(error)}") from error
    return turned_pixels(rgb, turn)


def read_record_image(img_dir: Path, record: ImageRecord) -> Pixels:
    """`read_image` for a COCO record, as its ``exif`` says; its size (when it has one) must be the picture's own.

    Raises:
        UserError: as in `image_path` and `read_image`, or the sizes differ: boxes for another size would be misplaced.
    """
    path = image_path(img_dir, record.file_name)
    pixels = read_image(path, record.exif)
    if record.has_size and pixels.shape[:2] != (record.height, record.width):
        with opened_picture(path) as picture:
            require_size(record, path, picture)
    return pixels


def require_size(record: ImageRecord, path: Path, picture: Image.Image) -> None:
    """Nothing, where a picture has the size in pixels that its record says, or the record has none.

    Args:
        record: of the picture.
        path: where it lies, for the message.
        picture: of which only the header was read.

    Raises:
        UserError: the sizes differ.
    """
    width, height = picture_size(picture, record.exif)
    if not record.has_size or (width, height) == (record.width, record.height):
        return
    differ = (
        f"image {path} is {width} x {height} pixels, but its record (id {show(record.id)}) says "
        f"{record.width} x {record.height}"
    )
    orientation = orientation_of(picture)
    if record.exif == "stored" and turned_size(width, height, orientation) == (record.width, record.height):
        raise UserError(
            f"{differ}, its size as viewers turn it (EXIF orientation {orientation}): give --exif upright, in a spec"
            " dataset.exif=upright, if its boxes were drawn on the turned picture, else mend the record"
        )
    raise UserError(f"{differ}: mend the record or use the right picture")


def fill_missing_sizes(coco: CocoFile, img_dir: Path) -> list[RecordNote]:
    """Take the size of images whose record has none from the picture files (their headers only).

    Changes ``coco.images`` in place; the document stays as it is. Call it before `mal.data.boxes.select_boxes`.

    Returns:
        One "warned" note for each such image.
    """
    notes = []
    for image_id, record in coco.images.items():
        if record.has_size or image_id in coco.oversized_images:
            continue
        try:
            with opened_picture(image_path(img_dir, record.file_name)) as image:
                width, height = picture_size(image, record.exif)
            coco.images.set_size(image_id, width, height)
            reason = f"the size of image {show(image_id)} is taken from its file: {width} x {height}"
        except UserError as error:
            reason = f"the size of image {show(image_id)} is unknown: {error}"
        notes.append(RecordNote(None, None, image_id, "warned", reason))
    return notes


@contextmanager
def opened_picture(path: Path) -> Iterator[Image.Image]:
    """A picture of which only the header is read, so that its size, mode and format are known.

    Raises:
        UserError: as of `read_image`, as far as the header tells.
    """
    with _opened(path) as file, _picture(path, file) as image:
        yield image


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("rb") as file:
            yield file
    except FileNotFoundError:
        raise UserError(f"image {path} does not exist: check the image folder and the file name") from None
    except IsADirectoryError:
        raise UserError(f"image {path} is a folder, not a picture") from None
    except UserError:
        raise
    # A file name that no file can have raises ValueError; stores behind URLs have errors of their own.
    except Exception as error:
        raise UserError(f"image {path} cannot be opened: {one_line(error)}") from error


def _picture(path: Path, file: BinaryIO) -> Image.Image:
    try:
        picture = Image.open(file)
        if picture.format == "TIFF":
            picture.info.pop("xmp", None)  # Pillow would turn a TIFF by it where the TIFF's own tag is missing
        return picture
    except UnidentifiedImageError:
        raise UserError(f"image {path} is not a picture that can be read, or its first bytes are damaged") from None
    except Image.DecompressionBombError as error:
        raise UserError(f"image {path} is too large: {one_line(error)}") from error
    # As in read_image: headers are parsed here, and damaged ones raise nearly anything.
    except Exception as error:
        raise UserError(f"image {path} cannot be opened: {one_line(error)}") from error


def pixels_of(image: Image.Image) -> Pixels:
    """Colours of a picture in any mode, (H, W, 3) uint8; grey of 16 bits is scaled from its full range.

    Raises:
        ValueError: the mode has no known range of values.
    """
    if image.mode.startswith("I"):
        grey = _grey8(np.asarray(image))
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.mode == "F":
        raise ValueError("floating-point pixels have no known range; save the picture with 8 or 16 bits")
    return np.array(image.convert("RGB"))


def _jpeg_pixels(content: bytes) -> Pixels | None:
    """What Pillow makes of a JPEG, in half the time: its own way out of its pictures takes as long as decoding.

    None for a file that is not whole: Pillow takes some of those, and has the words for the others.
    """
    import torch  # here, since not all that reads pictures needs them
    from torchvision.io import ImageReadMode, decode_jpeg

    try:
        return (
            decode_jpeg(torch.frombuffer(bytearray(content), dtype=torch.uint8), mode=ImageReadMode.RGB)
            .permute(1, 2, 0)
            .numpy()
        )
    except RuntimeError:
        return None


def _grey8(grey: npt.NDArray[np.generic]) -> Pixels:
    """16-bit grey to 8 bits over the full range: 65535 becomes 255 (Pillow's own conversion clips at 255)."""
    values = grey.astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise ValueError("32-bit pixels have no known range; save the picture with 8 or 16 bits")
    return ((values + 128) // 257).astype(np.uint8)
