from __future__ import annotations

import numpy as np
import pytest

from mal.data.augment import change_colours


@pytest.fixture
def crop() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, 24, 24), dtype=np.uint8)


def test_the_same_random_numbers_give_the_same_colours(crop):
    for seed in range(10):
        first, second = (change_colours(crop, np.random.default_rng(seed)) for _ in range(2))
        assert np.array_equal(first, second)


def test_most_crops_change_and_some_stay(crop):
    changed = [not np.array_equal(change_colours(crop, np.random.default_rng(seed)), crop) for seed in range(60)]
    assert 30 < sum(changed) < 60


def test_shape_and_type_stay_and_the_crop_is_left_as_it_was(crop):
    before = crop.copy()
    for seed in range(20):
        result = change_colours(crop, np.random.default_rng(seed))
        assert (result.shape, result.dtype) == (crop.shape, np.uint8)
    assert np.array_equal(crop, before)


def test_one_crop_in_five_is_grey(crop):
    results = [change_colours(crop, np.random.default_rng(seed)) for seed in range(200)]
    grey = sum((result == result[:1]).all() for result in results)
    assert 20 <= grey <= 62
