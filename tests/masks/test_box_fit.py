from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mal.masks.box_fit import HIGHEST, LOWEST, box_in_crop, fitting_threshold

SIDE = 20
BOX = (4.0, 4.0, 16.0, 16.0)
shares = st.floats(0, 1, width=32)


def probabilities(inner: float, rim: float = 0.0) -> np.ndarray:
    """A square object of one probability in the box, which a rim of another one reaches the sides with."""
    prob = np.zeros((SIDE, SIDE), np.float32)
    prob[4:16, 4:16] = rim
    prob[7:13, 7:13] = inner
    return prob


def test_a_mask_that_reaches_its_box_at_a_half_keeps_that_threshold():
    assert fitting_threshold(probabilities(0.9, rim=0.8), BOX) == HIGHEST


def test_a_mask_that_falls_short_gets_the_highest_threshold_at_which_it_reaches():
    prob = probabilities(0.9, rim=0.3)
    threshold = fitting_threshold(prob, BOX)
    assert 0.29 < threshold < 0.3
    assert (prob > threshold)[4:16, 4:16].all()


def test_one_side_that_is_reached_late_lowers_the_threshold():
    prob = probabilities(0.9, rim=0.8)
    prob[14:16] = 0.2
    assert 0.19 < fitting_threshold(prob, BOX) < 0.2


def test_a_side_is_reached_within_a_tenth_of_the_box():
    prob = np.full((SIDE, SIDE), 0.9, np.float32)
    prob[-1:] = 0.2
    assert fitting_threshold(prob, (0, 0, SIDE, SIDE)) == HIGHEST
    prob[-2:] = 0.2
    assert fitting_threshold(prob, (0, 0, SIDE, SIDE)) < 0.2


def test_a_side_that_only_noise_reaches_does_not_fill_the_box():
    assert fitting_threshold(probabilities(0.9, rim=0.01), BOX) == pytest.approx(LOWEST)


def test_a_mask_may_reach_beyond_its_box():
    prob = np.full((SIDE, SIDE), 0.4, np.float32)
    assert 0.39 < fitting_threshold(prob, BOX) < 0.4


@given(prob=arrays(np.float32, (6, 6), elements=shares), corners=st.tuples(*[st.floats(0, 6)] * 4))
def test_the_mask_is_never_empty_where_there_is_a_probability(prob, corners):
    (x0, x1), (y0, y1) = sorted(corners[:2]), sorted(corners[2:])
    threshold = fitting_threshold(prob, (x0, y0, x1, y1))
    assert 0 <= threshold <= HIGHEST
    assert (prob > threshold).any() == (prob > 0).any()


@given(prob=arrays(np.float32, (12, 12), elements=shares))
def test_between_its_limits_the_mask_reaches_all_sides_and_would_not_at_a_higher_threshold(prob):
    def reaches(threshold: float) -> bool:
        mask = prob > threshold
        return all(side.any() for side in (mask[:1], mask[-1:], mask[:, :1], mask[:, -1:]))

    threshold = fitting_threshold(prob, (0, 0, 12, 12))
    if threshold > LOWEST:
        assert reaches(threshold)
    if LOWEST <= threshold < HIGHEST:
        assert not reaches(float(np.nextafter(np.float32(threshold), np.float32(1))))


def test_a_box_in_the_pixels_of_its_crop():
    assert box_in_crop((20, 40, 60, 80), frame=(10, 20, 110, 120), side=50) == (5, 10, 25, 30)
    assert box_in_crop((0, 0, 500, 80), frame=(10, 20, 110, 120), side=50) == (0, 0, 50, 30)
