"""Decode images to RGB arrays; damaged files are errors, never gray filler."""

from __future__ import annotations

import io
import os
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from mal.coco.coco_file import CocoFile, show
from mal.coco.notes import RecordNote
from mal.coco.tables import ImageRecord
from mal.data.jpeg import decode_jpeg, is_out_of_memory, require_whole_jpeg_inside
from mal.data.near_names import near_hint_in
from mal.data.orientation import picture_size, read_orientation, turn_after_decoding, turned_pixels, turned_size
from mal.data.picture_file import Pixels, UnusablePixelsError, not_enough_memory, opened_file, picture_in, to_rgb_pixels
from mal.errors import UserError, one_line
from mal.limits import MAX_PICTURE_BYTES
from mal.paths import is_url, path_below
from mal.plain_files import read_up_to
from mal.reading import AS_STORED, Reading

# Reading headers mostly waits for the disk or the network.
HEADER_THREADS = 8
_JPEG_FORMATS = ("JPEG", "MPO")


def image_path(img_dir: Path, file_name: str) -> Path:
    """The path of a record's picture.

    Symbolic links inside the folder are followed: only the name itself must not lead out of it.

    Raises:
        UserError: the name leads out of ``img_dir`` or is no file name.
    """
    if is_url(img_dir):
        found = path_below(img_dir, file_name)
        if found is None:
            raise _leads_out(img_dir, file_name)
        return found
    folder = Path(os.path.normpath(Path(img_dir).absolute()))
    path = Path(os.path.normpath(folder / file_name))
    if "\0" in file_name or path == folder or not path.is_relative_to(folder):
        raise _leads_out(img_dir, file_name)
    return Path(img_dir) / path.relative_to(folder)


def _leads_out(img_dir: Path, file_name: str) -> UserError:
    hint = near_hint_in(img_dir, file_name)
    return UserError(f"image file name {show(file_name)} leads out of the image folder {img_dir}: refused{hint}")


def read_image(path: Path, reading: Reading = AS_STORED) -> Pixels:
    """Decode one picture.

    Args:
        path: a file in one of `mal.data.picture_file.FORMATS`, whatever its name ends with. Gray,
            palette, CMYK and 16-bit pictures are converted, alpha is dropped.
        reading: how.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        UserError: the file is missing, damaged, no picture, or has more pixels or bytes than `mal.limits` allows.
    """
    with opened_file(path) as file:
        content = read_up_to(file, MAX_PICTURE_BYTES, f"image {path}")
    return decode_image(content, f"image {path}", reading)


def decode_image(content: bytes, called: str, reading: Reading = AS_STORED) -> Pixels:
    """As `read_image`, of the bytes of a file.

    Args:
        content: all of them.
        called: what the picture is called in errors.
        reading: how.

    Raises:
        UserError: they are damaged, no picture, or one with more pixels than allowed.
    """
    try:
        with picture_in(io.BytesIO(content), called, reading.max_pixels) as image:
            turn = turn_after_decoding(image, reading.exif)
            return turned_pixels(_decoded(image, content, reading), turn)
    except UserError:
        raise
    except UnusablePixelsError as error:
        raise UserError(f"{called} cannot be used: {error}") from error
    # Pillow's decoders raise nearly every built-in error type on damaged bytes.
    except Exception as error:
        if isinstance(error, MemoryError) or is_out_of_memory(str(error)):
            raise not_enough_memory(called) from error
        raise UserError(f"{called} is damaged or cannot be decoded: {one_line(error)}") from error


def _decoded(image: Image.Image, content: bytes, reading: Reading) -> Pixels:
    if image.format in _JPEG_FORMATS:
        pixels = decode_jpeg(content, "CMYK" if image.mode == "CMYK" else "RGB")
        if pixels is not None and image.mode != "CMYK":  # four inks are converted by Pillow alone
            return pixels
    require_whole_jpeg_inside(image, content)
    image.load()
    return to_rgb_pixels(image, reading.gray_range)


def read_record_image(img_dir: Path, record: ImageRecord) -> Pixels:
    """`read_image` for a COCO record, as its ``reading`` says; its size (when it has one) must be the picture's own.

    Raises:
        UserError: as in `image_path` and `read_image`, or the sizes differ: boxes for another size would be misplaced.
    """
    path = image_path(img_dir, record.file_name)
    pixels = read_image(path, record.reading)
    if record.has_size and pixels.shape[:2] != (record.height, record.width):
        with opened_picture(path) as picture:
            require_size(record, path, picture)
    return pixels


def require_size(record: ImageRecord, path: Path, picture: Image.Image) -> None:
    """Check that an image has the size of its record, if the record has one.

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
    orientation = read_orientation(picture)
    if record.exif == "stored" and turned_size(width, height, orientation) == (record.width, record.height):
        raise UserError(
            f"{differ}, its size as viewers turn it (EXIF orientation {orientation}): give --exif upright, in a spec"
            " dataset.exif=upright, if its boxes were drawn on the turned picture, else mend the record"
        )
    raise UserError(f"{differ}: mend the record or use the right picture")


def fill_missing_sizes(coco: CocoFile, img_dir: Path) -> list[RecordNote]:
    """Fill in missing image sizes from the headers of the image files.

    Changes ``coco.images`` in place; the document stays as it is. Call it before `mal.coco.boxes.select_boxes`.

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
def opened_picture(path: Path, max_pixels: int | None = None) -> Iterator[Image.Image]:
    """Open an image and read its header only: size, mode and format.

    Args:
        path: of the picture.
        max_pixels: largest allowed number of pixels; None for no limit.

    Raises:
        UserError: as in `read_image`, for errors that the header shows.
    """
    with opened_file(path) as file, picture_in(file, f"image {path}", max_pixels) as image:
        yield image


class ImageCache:
    """Cache the most recently used images, up to a number of bytes.

    Args:
        max_bytes: what the kept images may take together.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._images: OrderedDict[Hashable, np.ndarray] = OrderedDict()

    def get(self, key: Hashable, read: Callable[[], np.ndarray]) -> np.ndarray:
        """Return the image of a key, (H, W, 3) uint8, read on a miss; read-only, because callers share it.

        Args:
            key: names the image.
            read: makes it, where it is not kept.
        """
        image = self.find(key)
        return self.keep(key, read()) if image is None else image

    def find(self, key: Hashable) -> np.ndarray | None:
        """Return the image of a key, where it is kept."""
        if key not in self._images:
            return None
        self._images.move_to_end(key)
        return self._images[key]

    def keep(self, key: Hashable, image: np.ndarray) -> np.ndarray:
        """Keep an image; returns it, read-only."""
        image.setflags(write=False)
        replaced = self._images.pop(key, None)
        self._images[key] = image
        self._bytes += image.nbytes - (0 if replaced is None else replaced.nbytes)
        while self._bytes > self._max_bytes and len(self._images) > 1:
            _, dropped = self._images.popitem(last=False)
            self._bytes -= dropped.nbytes
        return image
