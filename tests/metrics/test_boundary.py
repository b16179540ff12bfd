from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from mal.masks.rle import empty_rle, mask_from_rle, rle_from_mask
from mal.metrics.boundary import boundary, boundary_iou


def blobs(seed: int, height: int, width: int) -> np.ndarray:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(height, width)), 3)
    return noise > 0


@settings(deadline=None)
@given(seed=st.integers(0, 999), height=st.integers(1, 80), width=st.integers(1, 80), ratio=st.floats(0, 0.1))
def test_the_boundary_is_what_erosion_of_the_padded_mask_takes_away(seed, height, width, ratio):
    mask = blobs(seed, height, width)
    strip = max(1, round(ratio * np.hypot(height, width)))
    eroded = ndimage.binary_erosion(np.pad(mask, 1), np.ones((3, 3)), iterations=strip)[1:-1, 1:-1]
    assert np.array_equal(mask_from_rle(boundary(rle_from_mask(mask), ratio)), mask & ~eroded)


def test_two_squares_counted_by_hand():
    first, second = np.zeros((100, 100), bool), np.zeros((100, 100), bool)
    first[10:20, 10:20] = True  # a ring of 36 pixels at a width of 1
    second[10:20, 11:21] = True
    found = boundary_iou(rle_from_mask(first), rle_from_mask(second), dilation_ratio=0.001)
    assert found == pytest.approx(18 / (36 + 36 - 18))  # nine pixels of the upper side and nine of the lower one


def test_a_wrong_inside_costs_less_than_in_the_mask_iou():
    ring, disc = np.zeros((200, 200), bool), np.zeros((200, 200), bool)
    disc[20:180, 20:180] = True
    ring[20:180, 20:180] = True
    ring[60:140, 60:140] = False
    assert 0.6 < boundary_iou(rle_from_mask(disc), rle_from_mask(ring)) < 0.75  # the inner outline is an error too


def test_the_boundary_of_a_thin_mask_is_the_mask():
    mask = np.zeros((100, 100), bool)
    mask[50:55, 5:90] = True
    assert np.array_equal(mask_from_rle(boundary(rle_from_mask(mask))), mask)


def test_empty_masks_have_a_boundary_iou_of_zero():
    assert boundary_iou(empty_rle(30, 20), empty_rle(30, 20)) == 0


def test_masks_of_different_sizes_are_refused():
    with pytest.raises(ValueError, match="different sizes"):
        boundary_iou(empty_rle(30, 20), empty_rle(20, 30))
