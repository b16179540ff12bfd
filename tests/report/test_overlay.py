from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mal.masks.rle import empty_rle, rle_from_mask
from mal.report.overlay import draw_overlay, object_colors

GRAY = np.full((60, 80, 3), 128, dtype=np.uint8)


def disc(radius: float, x0: float = 40, y0: float = 30) -> np.ndarray:
    y, x = np.mgrid[0:60, 0:80]
    return (x - x0) ** 2 + (y - y0) ** 2 < radius**2


@settings(max_examples=25, deadline=None)
@given(arrays(bool, (3, 12, 15), elements=st.booleans()))
def test_masks_colour_their_own_pixels_and_no_others(masks):
    image = np.full((12, 15, 3), 128, dtype=np.uint8)
    changed = (draw_overlay(image, [rle_from_mask(mask) for mask in masks], []) != image).any(axis=2)
    np.testing.assert_array_equal(changed, masks.any(axis=0))


def test_the_picture_given_is_left_as_it_was():
    image = GRAY.copy()
    draw_overlay(image, [rle_from_mask(disc(20))], [(20, 10, 60, 50)], ["disc"])
    np.testing.assert_array_equal(image, GRAY)


def test_an_outline_is_stronger_than_the_inside():
    drawn = draw_overlay(GRAY, [rle_from_mask(disc(20))], []).astype(int)
    tint = np.abs(drawn - 128).sum(axis=2)
    assert tint[30, 21] > 1.5 * tint[30, 40] > 0


def test_small_masks_lie_on_top_of_large_ones_in_any_order():
    large, small = disc(25), disc(6)
    drawn = [
        draw_overlay(GRAY, [rle_from_mask(mask) for mask in pair], []) for pair in ((large, small), (small, large))
    ]
    for picture in drawn:
        assert (picture[30, 40] != picture[30, 55]).any()


def test_an_empty_mask_draws_nothing():
    np.testing.assert_array_equal(draw_overlay(GRAY, [empty_rle(80, 60)], []), GRAY)


def test_a_box_is_framed_on_its_own_edge_pixels():
    drawn = draw_overlay(GRAY, [], [(10, 20, 30, 40)])
    color = object_colors(1)[0]
    for y, x in ((20, 10), (20, 29), (39, 10), (39, 29), (30, 10)):
        assert tuple(drawn[y, x]) == color
    np.testing.assert_array_equal(drawn[22:38, 12:28], GRAY[22:38, 12:28])


def test_a_box_at_the_edge_of_the_picture_or_without_size_can_be_drawn():
    drawn = draw_overlay(GRAY, [], [(0, 0, 80, 60), (79.5, 59.5, 79.5, 59.5)], ["whole picture", "point"])
    assert drawn.shape == GRAY.shape


def test_labels_are_written_beside_their_boxes():
    plain, labelled = (draw_overlay(GRAY, [], [(20, 30, 60, 50)], labels) for labels in (None, ["cat"]))
    rows, columns = np.nonzero((plain != labelled).any(axis=2))
    assert rows.max() <= 30
    assert columns.min() >= 20


def test_a_label_without_a_free_place_is_left_out():
    image = np.full((14, 80, 3), 128, dtype=np.uint8)
    one, two = (draw_overlay(image, [], [(0, 0, 80, 14)] * 2, labels) for labels in (["cat", ""], ["cat", "cat"]))
    np.testing.assert_array_equal(one, two)


def test_a_label_for_each_box_is_asked_for():
    with pytest.raises(ValueError):
        draw_overlay(GRAY, [], [(0, 0, 10, 10), (20, 20, 40, 40)], ["only one"])


def test_three_hundred_objects_get_colours_of_their_own_and_are_drawn():
    colors = object_colors(300)
    assert len(set(colors)) == 300
    assert object_colors(3) == colors[:3]
    rng = np.random.default_rng(0)
    discs = [rle_from_mask(disc(4, *rng.uniform(5, 55, 2))) for _ in range(300)]
    drawn = draw_overlay(GRAY, discs, [(5, 5, 20, 20)] * 300, ["thing"] * 300)
    assert (drawn != GRAY).any()
