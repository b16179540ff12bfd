from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from mal.masks.grow import grown, mean_side, shrunk
from mal.masks.rle import mask_from_rle, rle_from_mask

masks = arrays(bool, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9))
distances = st.floats(0, 5)


def within(mask: np.ndarray, distance: float) -> np.ndarray:
    """Pixels whose distance to a pixel of the mask is no larger, by comparing all with all."""
    rows, columns = np.indices(mask.shape)
    near = np.zeros(mask.shape, bool)
    for row, column in np.argwhere(mask):
        near |= np.hypot(rows - row, columns - column) <= distance
    return near


@settings(max_examples=20)
@given(masks, distances)
def test_a_mask_grows_by_every_pixel_within_the_distance(mask, distance):
    assert (mask_from_rle(grown(rle_from_mask(mask), distance)) == within(mask, distance)).all()


@settings(max_examples=20)
@given(masks, distances)
def test_a_mask_shrinks_as_its_background_grows_inside_the_image(mask, distance):
    assert (mask_from_rle(shrunk(rle_from_mask(mask), distance)) == ~within(~mask, distance)).all()


@settings(max_examples=20)
@given(masks, distances)
def test_grown_and_shrunk_a_mask_holds_what_it_held_and_shrunk_and_grown_nothing_more(mask, distance):
    rle = rle_from_mask(mask)
    assert (mask_from_rle(shrunk(grown(rle, distance), distance)) >= mask).all()
    assert (mask_from_rle(grown(shrunk(rle, distance), distance)) <= mask).all()


@settings(max_examples=10)
@given(masks, st.floats(0, 0.99))
def test_less_than_a_pixel_changes_nothing(mask, distance):
    rle = rle_from_mask(mask)
    assert grown(rle, distance) == shrunk(rle, distance) == rle


def test_a_mask_that_the_image_cuts_does_not_shrink_from_its_border():
    mask = np.zeros((8, 8), bool)
    mask[:, :5] = True
    assert mask_from_rle(shrunk(rle_from_mask(mask), 2)).sum(axis=1).tolist() == [3] * 8


def test_the_mean_side_is_that_of_the_box_around_the_mask():
    mask = np.zeros((9, 9), bool)
    mask[2, 3:7] = True
    assert mean_side(rle_from_mask(mask)) == 2.5
