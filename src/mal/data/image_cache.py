"""An LRU cache of decoded images."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import numpy as np


class ImageCache:
    """Cache the most recently used images, up to a number of bytes.

    Args:
        max_bytes: what the kept images may take together.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._images: OrderedDict[int, np.ndarray] = OrderedDict()

    def get(self, key: int, read: Callable[[], np.ndarray]) -> np.ndarray:
        """Return the image of a key, (H, W, 3) uint8, read on a miss; read-only, because callers share it.

        Args:
            key: names the image.
            read: makes it, where it is not kept.
        """
        if key in self._images:
            self._images.move_to_end(key)
            return self._images[key]
        image = read()
        image.setflags(write=False)
        self._images[key] = image
        self._bytes += image.nbytes
        while self._bytes > self._max_bytes and len(self._images) > 1:
            _, dropped = self._images.popitem(last=False)
            self._bytes -= dropped.nbytes
        return image
