from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mal.masks.rle import rle_from_mask
from mal.metrics.dice import dice_of_iou
from mal.metrics.iou import mask_iou

pairs = st.tuples(st.integers(1, 8), st.integers(1, 8)).flatmap(
    lambda shape: st.tuples(arrays(bool, shape), arrays(bool, shape))
)


@given(pairs)
def test_dice_is_twice_the_common_pixels_over_the_pixels_of_both(pair):
    first, second = pair
    pixels = first.sum() + second.sum()
    expected = 2 * (first & second).sum() / pixels if pixels else 0.0
    assert dice_of_iou(mask_iou(rle_from_mask(first), rle_from_mask(second))) == pytest.approx(expected)


@given(st.floats(0, 1))
def test_dice_is_never_below_the_iou(iou):
    assert iou <= dice_of_iou(iou) <= 1


def test_means_do_not_follow_from_each_other():
    iou = np.array([1.0, 0.0])
    assert dice_of_iou(iou).mean() != dice_of_iou(iou.mean())
