from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mal.integrations.cvat_shapes import Outline, Rectangle, having_a_mask, upright_corners

SIDE = 60


def rectangle(number, xyxy, frame=0, label=1):
    return Rectangle(number, frame, label, tuple(map(float, xyxy)), {})


@st.composite
def pairs(draw):
    """Rectangles, and for each a box of a mask inside it, of which some may be missing."""
    found = []
    for number in range(draw(st.integers(1, 8))):
        x0, y0 = draw(st.integers(0, SIDE)), draw(st.integers(0, SIDE))
        x1, y1 = x0 + draw(st.integers(1, SIDE)), y0 + draw(st.integers(1, SIDE))
        left, top = draw(st.integers(x0, x1 - 1)), draw(st.integers(y0, y1 - 1))
        inside = (left, top, draw(st.integers(left + 1, x1)), draw(st.integers(top + 1, y1)))
        frame, label = draw(st.integers(0, 1)), draw(st.integers(1, 2))
        box = Outline(frame, label, tuple(map(float, inside)))
        found.append((rectangle(number, (x0, y0, x1, y1), frame, label), box))
    return found


@given(pairs(), st.randoms())
@settings(max_examples=60)
def test_once_every_rectangle_has_its_mask_there_is_nothing_left_to_do(found, random):
    rectangles, outlines = (list(each) for each in zip(*found, strict=True))
    random.shuffle(outlines)
    assert having_a_mask(rectangles, outlines) == {each.id for each in rectangles}


@given(pairs(), st.data())
@settings(max_examples=60)
def test_no_more_rectangles_have_a_mask_than_there_are_masks_in_them(found, data):
    rectangles, outlines = (list(each) for each in zip(*found, strict=True))
    kept = data.draw(st.lists(st.sampled_from(outlines), max_size=len(outlines), unique_by=id))
    done = having_a_mask(rectangles, kept)
    assert len(done) == len(kept)  # each lies in its own rectangle at least


def test_of_rectangles_in_each_other_the_small_one_keeps_its_own_mask():
    outer, inner = rectangle(1, (0, 0, 50, 50)), rectangle(2, (10, 10, 20, 20))
    mask_of_inner = Outline(0, 1, (11, 11, 19, 19))
    assert having_a_mask([outer, inner], [mask_of_inner]) == {2}
    assert having_a_mask([outer, inner], [Outline(0, 1, (1, 1, 49, 49))]) == {1}


@pytest.mark.parametrize(
    "other", [Outline(1, 1, (0, 0, 5, 5)), Outline(0, 2, (0, 0, 5, 5)), Outline(0, 1, (9, 9, 99, 99))]
)
def test_masks_of_other_frames_labels_and_places_are_no_masks_of_a_rectangle(other):
    assert having_a_mask([rectangle(1, (0, 0, 10, 10))], [other]) == set()


def test_a_turned_rectangle_counts_as_the_upright_box_around_it():
    assert upright_corners([10, 20, 30, 60], 0) == (10, 20, 30, 60)
    np.testing.assert_allclose(upright_corners([10, 20, 30, 60], 90), (0, 30, 40, 50), atol=1e-9)
