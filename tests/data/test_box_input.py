from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mal.data.box_input import INSIDE, OUTSIDE, UNKNOWN, BoxInput, jittered_box, random_box_input

JITTER, DROPOUT = 0.1, 1 / 3
FRAME, SIZE = (0, 0, 96, 96), 96
BOX = (24.0, 30.0, 64.0, 80.0)


def drawn(seed: int, box=BOX) -> np.ndarray:
    return random_box_input(np.random.default_rng(seed), box, FRAME, (96, 96), SIZE, BoxInput(JITTER, DROPOUT))


def extent(mask: np.ndarray) -> tuple[int, int, int, int]:
    """First and last column and row inside the box."""
    rows, columns = np.nonzero(mask)
    return columns.min(), rows.min(), columns.max(), rows.max()


@given(st.integers(0, 10_000))
def test_the_box_is_unknown_throughout_or_its_sides_move_by_a_tenth_of_it_at_most(seed):
    mask = drawn(seed)
    assert mask.dtype == np.uint8
    if (mask == UNKNOWN).any():
        assert (mask == UNKNOWN).all()
        return
    assert set(np.unique(mask)) == {OUTSIDE, INSIDE}
    allowed = np.array([40, 50, 40, 50]) * JITTER + 1  # and a pixel, since masks are of whole ones
    assert (np.abs(np.array(extent(mask)) - BOX) <= allowed).all()


def test_a_third_of_the_boxes_is_unknown_and_the_others_differ():
    masks = [drawn(seed) for seed in range(600)]
    known = [mask for mask in masks if mask[0, 0] != UNKNOWN]
    assert 1 - len(known) / len(masks) == pytest.approx(DROPOUT, abs=0.06)
    assert len({mask.tobytes() for mask in known}) > len(known) / 2


@given(st.lists(st.floats(-JITTER, JITTER), min_size=4, max_size=4), st.tuples(*[st.floats(1, 500)] * 4))
def test_a_jittered_box_keeps_most_of_its_extent(moves, numbers):
    x0, y0, width, height = numbers
    left, top, right, bottom = jittered_box((x0, y0, x0 + width, y0 + height), moves)
    assert right - left == pytest.approx(width * (1 + moves[0] + moves[2]), abs=1e-6)
    assert bottom - top == pytest.approx(height * (1 + moves[1] + moves[3]), abs=1e-6)
    assert right - left > 0.7 * width
    assert bottom - top > 0.7 * height
