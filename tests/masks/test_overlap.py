from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mal.masks.overlap import without_overlap
from mal.masks.rle import mask_from_rle, rle_area, rle_from_mask


def square(x: int, y: int, side: int) -> np.ndarray:
    mask = np.zeros((12, 15), bool)
    mask[y : y + side, x : x + side] = True
    return mask


@given(st.data())
def test_no_two_masks_share_a_pixel_and_together_they_cover_the_same(data):
    masks = data.draw(arrays(bool, st.tuples(st.integers(1, 6), st.just(5), st.just(4))))
    priorities = data.draw(st.lists(st.integers(0, 3), min_size=len(masks), max_size=len(masks)))
    found = np.stack([mask_from_rle(rle) for rle in without_overlap([*map(rle_from_mask, masks)], priorities)])
    assert found.sum(axis=0).max() <= 1
    assert np.array_equal(found.any(axis=0), masks.any(axis=0))
    assert not (found & ~masks).any()
    highest = max(range(len(masks)), key=lambda index: (priorities[index], -index))
    assert np.array_equal(found[highest], masks[highest])


def test_the_higher_priority_gets_the_contested_pixels():
    large, small = square(0, 0, 10), square(8, 8, 3)
    found = without_overlap([rle_from_mask(large), rle_from_mask(small)], [1, 2])
    assert [rle_area(rle) for rle in found] == [96, 9]
    found = without_overlap([rle_from_mask(large), rle_from_mask(small)], [2, 1])
    assert [rle_area(rle) for rle in found] == [100, 5]


def test_a_mask_that_touches_no_other_is_left_as_it_was():
    alone, pair = rle_from_mask(square(12, 0, 2)), [rle_from_mask(square(0, 0, 4)), rle_from_mask(square(2, 2, 4))]
    assert without_overlap([*pair, alone], [1, 2, 3])[2] is alone


def test_no_masks_are_no_masks():
    assert without_overlap([], []) == []
