from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from mal.masks.parts import with_small_holes_filled, without_small_parts

masks = arrays(bool, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9))
shares = st.floats(0, 1)


@pytest.fixture
def two_parts() -> np.ndarray:
    """A part of 16 pixels and one of 4."""
    mask = np.zeros((10, 10), bool)
    mask[1:5, 1:5] = True
    mask[7:9, 7:9] = True
    return mask


@pytest.fixture
def ring() -> np.ndarray:
    """60 pixels around a hole of 4."""
    mask = np.ones((8, 8), bool)
    mask[3:5, 3:5] = False
    return mask


def test_a_part_smaller_than_the_share_is_dropped(two_parts):
    assert without_small_parts(two_parts, 0.3).sum() == 16


def test_a_part_as_large_as_the_share_stays(two_parts):
    assert without_small_parts(two_parts, 0.25).sum() == 20


def test_parts_that_touch_at_a_corner_are_one(two_parts):
    two_parts[5, 5] = two_parts[6, 6] = True
    assert np.array_equal(without_small_parts(two_parts, 1), two_parts)


def test_a_hole_up_to_the_share_is_filled(ring):
    assert with_small_holes_filled(ring, 4 / 60).all()
    assert np.array_equal(with_small_holes_filled(ring, 3 / 60), ring)


def test_a_bay_is_no_hole(ring):
    ring[3, 5:] = False
    assert np.array_equal(with_small_holes_filled(ring, 1), ring)


def test_a_hole_does_not_open_at_a_corner():
    mask = np.ones((4, 4), bool)
    mask[1, 1] = mask[0, 0] = False
    assert with_small_holes_filled(mask, 1)[1, 1]


@given(masks, shares)
def test_of_a_mask_only_whole_parts_go_and_the_largest_one_stays(mask, share):
    parts, count = ndimage.label(mask, np.ones((3, 3)))
    kept = without_small_parts(mask, share)
    sizes = [int((parts == part).sum()) for part in range(1, count + 1)]
    assert not (kept & ~mask).any()
    for part, size in enumerate(sizes, start=1):
        assert kept[parts == part].all() == kept[parts == part].any() == (size >= share * max(sizes))


@given(masks, shares)
def test_filling_only_adds_and_at_most_what_all_holes_hold(mask, share):
    filled = with_small_holes_filled(mask, share)
    assert not (mask & ~filled).any()
    assert not (filled & ~ndimage.binary_fill_holes(mask)).any()
    if not share:
        assert np.array_equal(filled, mask)
