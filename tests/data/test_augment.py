from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mal.data.augment import apply_changes, change_colors, changed_by_pillow
from mal.ops.compiled import fast_module


@pytest.fixture
def crop() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, 24, 24), dtype=np.uint8)


def test_the_same_random_numbers_give_the_same_colours(crop):
    for seed in range(10):
        first, second = (change_colors(crop, np.random.default_rng(seed)) for _ in range(2))
        assert np.array_equal(first, second)


def test_most_crops_change_and_some_stay(crop):
    changed = [not np.array_equal(change_colors(crop, np.random.default_rng(seed)), crop) for seed in range(60)]
    assert 30 < sum(changed) < 60


def test_shape_and_type_stay_and_the_crop_is_left_as_it_was(crop):
    before = crop.copy()
    for seed in range(20):
        result = change_colors(crop, np.random.default_rng(seed))
        assert (result.shape, result.dtype) == (crop.shape, np.uint8)
    assert np.array_equal(crop, before)


def test_one_crop_in_five_is_grey(crop):
    results = [change_colors(crop, np.random.default_rng(seed)) for seed in range(200)]
    gray = sum((result == result[:1]).all() for result in results)
    assert 20 <= gray <= 62


needs_numba = pytest.mark.skipif(fast_module("colors_numba") is None, reason="needs numba")

AMOUNTS = {
    "brightness": st.floats(0.6, 1.4),
    "contrast": st.floats(0.6, 1.4),
    "saturation": st.floats(0.8, 1.2),
    "hue": st.floats(-0.1, 0.1),
    "greyscale": st.just(1.0),
    "blur": st.floats(0.1, 2.0),
}
changes = st.lists(st.one_of(*(st.tuples(st.just(kind), amount) for kind, amount in AMOUNTS.items())), max_size=6)


def noise(seed: int, shape=(21, 33)) -> np.ndarray:
    """Strong colours, greys, black and white."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (3, *shape), dtype=np.uint8)
    image[:, :3] = image[:1, :3]
    image[:, 3, :5], image[:, 3, 5:9] = 0, 255
    return image


@needs_numba
@settings(max_examples=80, deadline=None)
@given(changes=changes, seed=st.integers(0, 99))
def test_changes_give_the_very_numbers_of_pillow(changes, seed):
    assert np.array_equal(apply_changes(noise(seed), changes), changed_by_pillow(noise(seed), changes))


@needs_numba
@pytest.mark.parametrize("shift", [-0.1, 0.0, 0.07])
def test_every_colour_turns_as_pillow_turns_it(shift):
    level = np.arange(0, 256, 3, dtype=np.uint8)
    colors = np.stack(np.meshgrid(level, level, level)).reshape(3, len(level), -1)
    assert np.array_equal(apply_changes(colors, [("hue", shift)]), changed_by_pillow(colors, [("hue", shift)]))


@needs_numba
@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (1, 9)])
def test_an_image_smaller_than_the_blur_can_be_blurred(shape):
    image = np.random.default_rng(0).integers(0, 256, (3, *shape), dtype=np.uint8)
    assert np.array_equal(apply_changes(image, [("blur", 1.9)]), changed_by_pillow(image, [("blur", 1.9)]))


@pytest.mark.parametrize("change", [apply_changes, changed_by_pillow])
def test_the_image_is_left_as_it_was(change):
    image = noise(0)
    result = change(image, [("blur", 2.0), ("hue", 0.1)])
    assert np.array_equal(image, noise(0))
    assert result.flags.c_contiguous
    assert not np.shares_memory(change(image, []), image)
