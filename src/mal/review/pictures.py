"""The pictures of a review as JPEG: a preview of each, and native pixels of a part of one."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from pathlib import Path

import numpy as np
import simplejpeg
from PIL import Image

from mal.coco.tables import ImageRecord
from mal.data.images import ImageCache, image_path, read_record_image
from mal.data.picture_file import Pixels
from mal.errors import UserError
from mal.limits import SERVED_CACHE_BYTES

PREVIEW_EDGE = 2048
"""Longest edge of a preview, and of a part, in pixels."""
_DECODED_AT_ONCE = 2
_QUALITY = 90
_KEPT_PREVIEWS = 32  # of half a megabyte, mostly


class ReviewPictures:
    """Decodes pictures as all commands do, and keeps those used last.

    Args:
        img_dir: folder of the pictures.
    """

    def __init__(self, img_dir: Path) -> None:
        self._img_dir = img_dir
        self._cache = ImageCache(SERVED_CACHE_BYTES)
        self._previews: OrderedDict[Hashable, bytes] = OrderedDict()
        self._lock = threading.Lock()
        self._places = threading.Semaphore(_DECODED_AT_ONCE)

    def pixels(self, record: ImageRecord) -> Pixels:
        """The colors of a picture, (H, W, 3) uint8, read-only.

        Raises:
            UserError: it is missing or damaged, or has another size than its record says.
        """
        key = self._key(record)
        with self._places:
            with self._lock:
                kept = self._cache.find(key)
            if kept is None:
                pixels = read_record_image(self._img_dir, record)
                with self._lock:
                    kept = self._cache.keep(key, pixels)
        return kept

    def preview(self, record: ImageRecord) -> bytes:
        """The whole picture, at most `PREVIEW_EDGE` pixels long; raises as `pixels` does."""
        key = self._key(record)
        with self._lock:
            kept = self._previews.get(key)
            if kept is not None:
                self._previews.move_to_end(key)
                return kept
        made = self._preview(record)
        with self._lock:
            self._previews[key] = made
            if len(self._previews) > _KEPT_PREVIEWS:
                self._previews.popitem(last=False)
        return made

    def _key(self, record: ImageRecord) -> Hashable:
        path = image_path(self._img_dir, record.file_name)
        return path, _state_of(path), record.reading

    def _preview(self, record: ImageRecord) -> bytes:
        pixels = self.pixels(record)
        height, width = pixels.shape[:2]
        scale = PREVIEW_EDGE / max(width, height)
        if scale < 1:
            size = max(1, round(width * scale)), max(1, round(height * scale))
            image = Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
            pixels = np.asarray(image)
        return _jpeg(pixels)

    def part(self, record: ImageRecord, x: int, y: int, width: int, height: int) -> bytes:
        """A part of a picture at its own pixels.

        Args:
            record: of the picture.
            x, y, width, height: in pixels; at most `PREVIEW_EDGE` long.

        Raises:
            UserError: as of `pixels`, or the part does not lie in the picture.
        """
        pixels = self.pixels(record)
        found = pixels[max(y, 0) : y + height, max(x, 0) : x + width]
        if min(x, y) < 0 or found.shape[:2] != (height, width) or not 0 < max(width, height) <= PREVIEW_EDGE:
            raise UserError(f"the part {x},{y} {width} x {height} does not lie in image {record.file_name}")
        return _jpeg(found)


def _jpeg(pixels: Pixels) -> bytes:
    encoded: bytes = simplejpeg.encode_jpeg(
        np.ascontiguousarray(pixels), quality=_QUALITY, colorspace="RGB", colorsubsampling="444"
    )
    return encoded


def _state_of(path: Path) -> tuple[int, int] | None:
    try:
        state = path.stat()
    except (OSError, ValueError):
        return None
    return state.st_mtime_ns, state.st_size
