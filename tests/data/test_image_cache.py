from __future__ import annotations

import numpy as np
import pytest

from mal.data.image_cache import ImageCache

BYTES = 300  # of a 10 x 10 image


@pytest.fixture
def reads() -> list[int]:
    return []


@pytest.fixture
def cache(reads) -> ImageCache:
    def read(key: int) -> np.ndarray:
        reads.append(key)
        return np.full((10, 10, 3), key, dtype=np.uint8)

    return ImageCache(read, max_bytes=2 * BYTES)


def test_an_image_is_read_once_while_it_is_kept(cache, reads):
    for key in (1, 2, 1, 2, 1):
        assert cache.get(key)[0, 0, 0] == key
    assert reads == [1, 2]


def test_the_image_unused_longest_goes_first(cache, reads):
    for key in (1, 2, 1, 3, 1, 2):
        cache.get(key)
    assert reads == [1, 2, 3, 2]


def test_an_image_larger_than_the_memory_is_kept_until_the_next(reads):
    cache = ImageCache(lambda key: np.zeros((10, 10, 3), dtype=np.uint8), max_bytes=1)
    assert cache.get(1) is cache.get(1)
    assert cache.get(2) is cache.get(2)


def test_kept_images_cannot_be_changed_by_one_reader_for_the_others(cache):
    with pytest.raises(ValueError):
        cache.get(1)[0, 0, 0] = 9
