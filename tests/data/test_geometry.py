from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mal.data.geometry import expand_box, label_margins, margins_from_draws, random_margins

corner = st.floats(0, 500)
extent = st.floats(1, 500)
margins = st.tuples(*[st.floats(0, 1.2)] * 4)


@given(x=corner, y=corner, width=extent, height=extent, margins=margins)
def test_the_frame_holds_the_box_as_single_precision_has_it(x, y, width, height, margins):
    box = np.float32([x, y, x + width, y + height])
    x0, y0, x1, y1 = expand_box((x, y, x + width, y + height), margins)
    assert x0 <= box[0]
    assert y0 <= box[1]
    assert x1 >= box[2]
    assert y1 >= box[3]


def test_each_margin_moves_its_own_side_by_a_part_of_half_the_extent():
    box = (100.0, 200.0, 140.0, 260.0)
    assert expand_box(box, (0, 0, 0, 0)) == (100, 200, 141, 261)
    assert expand_box(box, (1, 0, 0, 0)) == (80, 200, 141, 261)
    assert expand_box(box, (0, 1, 0, 0)) == (100, 170, 141, 261)
    assert expand_box(box, (0, 0, 1, 0)) == (100, 200, 161, 261)
    assert expand_box(box, (0, 0, 0, 1)) == (100, 200, 141, 291)


def test_labelling_takes_half_the_first_rate_on_every_side():
    assert label_margins([0.6, 0.2]) == (0.3, 0.3, 0.3, 0.3)


@given(seed=st.integers(0, 10**6), low=st.floats(0, 1), width=st.floats(0, 1))
def test_random_margins_of_opposite_sides_share_one_margin(seed, low, width):
    left, top, right, bottom = random_margins(np.random.default_rng(seed), [low, low + width])
    highest = low + width + 1e-9
    assert all(0 <= margin <= highest for margin in (left, top, right, bottom))
    assert left + right <= highest
    assert top + bottom <= highest


def test_a_gate_of_1_gives_all_to_the_left_and_the_top():
    drawn = margins_from_draws(np.full(4, 0.5), np.array([1.0, 0.0]), [0.0, 1.2])
    assert drawn == pytest.approx((0.6, 0.0, 0.0, 0.6))
