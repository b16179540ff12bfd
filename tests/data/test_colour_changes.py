from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mal.data.colour_changes import apply_changes, changed_by_pillow
from mal.ops.fast_modules import fast_module

needs_numba = pytest.mark.skipif(fast_module("colours_numba") is None, reason="needs numba")

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
    colours = np.stack(np.meshgrid(level, level, level)).reshape(3, len(level), -1)
    assert np.array_equal(apply_changes(colours, [("hue", shift)]), changed_by_pillow(colours, [("hue", shift)]))


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
