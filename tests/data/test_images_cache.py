from __future__ import annotations

import numpy as np
import pytest

from mal.data.images import ImageCache

BYTES = 300  # of a 10 x 10 image


class Reader:
    """Reads made-up images through a cache and counts."""

    def __init__(self, max_bytes: int) -> None:
        self.cache = ImageCache(max_bytes)
        self.reads: list[int] = []

    def get(self, key: int) -> np.ndarray:
        return self.cache.get(key, lambda: self._read(key))

    def _read(self, key: int) -> np.ndarray:
        self.reads.append(key)
        return np.full((10, 10, 3), key, dtype=np.uint8)


@pytest.fixture
def reader() -> Reader:
    return Reader(max_bytes=2 * BYTES)


def test_an_image_is_read_once_while_it_is_kept(reader):
    for key in (1, 2, 1, 2, 1):
        assert reader.get(key)[0, 0, 0] == key
    assert reader.reads == [1, 2]


def test_the_image_unused_longest_goes_first(reader):
    for key in (1, 2, 1, 3, 1, 2):
        reader.get(key)
    assert reader.reads == [1, 2, 3, 2]


def test_an_image_larger_than_the_memory_is_kept_until_the_next():
    reader = Reader(max_bytes=1)
    assert reader.get(1) is reader.get(1)
    assert reader.get(2) is reader.get(2)


def test_kept_images_cannot_be_changed_by_one_reader_for_the_others(reader):
    with pytest.raises(ValueError):
        reader.get(1)[0, 0, 0] = 9
