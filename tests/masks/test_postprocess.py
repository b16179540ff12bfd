from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from mal.masks.paste import PastedMask, paste_mask
from mal.masks.postprocess import (
    HIGHEST,
    LOWEST,
    PostprocessOptions,
    box_fitting_threshold,
    box_in_crop,
    fill_small_holes,
    postprocess_mask,
    remove_small_components,
    without_overlap,
)
from mal.masks.rle import mask_from_rle, rle_area, rle_from_mask

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
    assert box_fitting_threshold(probabilities(0.9, rim=0.8), BOX) == HIGHEST


def test_a_mask_that_falls_short_gets_the_highest_threshold_at_which_it_reaches():
    prob = probabilities(0.9, rim=0.3)
    threshold = box_fitting_threshold(prob, BOX)
    assert 0.29 < threshold < 0.3
    assert (prob > threshold)[4:16, 4:16].all()


def test_one_side_that_is_reached_late_lowers_the_threshold():
    prob = probabilities(0.9, rim=0.8)
    prob[14:16] = 0.2
    assert 0.19 < box_fitting_threshold(prob, BOX) < 0.2


def test_a_side_is_reached_within_a_tenth_of_the_box():
    prob = np.full((SIDE, SIDE), 0.9, np.float32)
    prob[-1:] = 0.2
    assert box_fitting_threshold(prob, (0, 0, SIDE, SIDE)) == HIGHEST
    prob[-2:] = 0.2
    assert box_fitting_threshold(prob, (0, 0, SIDE, SIDE)) < 0.2


def test_a_side_that_only_noise_reaches_does_not_fill_the_box():
    assert box_fitting_threshold(probabilities(0.9, rim=0.01), BOX) == pytest.approx(LOWEST)


def test_a_mask_may_reach_beyond_its_box():
    prob = np.full((SIDE, SIDE), 0.4, np.float32)
    assert 0.39 < box_fitting_threshold(prob, BOX) < 0.4


@given(prob=arrays(np.float32, (6, 6), elements=shares), corners=st.tuples(*[st.floats(0, 6)] * 4))
def test_the_mask_is_never_empty_where_there_is_a_probability(prob, corners):
    (x0, x1), (y0, y1) = sorted(corners[:2]), sorted(corners[2:])
    threshold = box_fitting_threshold(prob, (x0, y0, x1, y1))
    assert 0 <= threshold <= HIGHEST
    assert (prob > threshold).any() == (prob > 0).any()


@given(prob=arrays(np.float32, (12, 12), elements=shares))
def test_between_its_limits_the_mask_reaches_all_sides_and_would_not_at_a_higher_threshold(prob):
    def reaches(threshold: float) -> bool:
        mask = prob > threshold
        return all(side.any() for side in (mask[:1], mask[-1:], mask[:, :1], mask[:, -1:]))

    threshold = box_fitting_threshold(prob, (0, 0, 12, 12))
    if threshold > LOWEST:
        assert reaches(threshold)
    if LOWEST <= threshold < HIGHEST:
        assert not reaches(float(np.nextafter(np.float32(threshold), np.float32(1))))


def test_a_box_in_the_pixels_of_its_crop():
    assert box_in_crop((20, 40, 60, 80), frame=(10, 20, 110, 120), side=50) == (5, 10, 25, 30)
    assert box_in_crop((0, 0, 500, 80), frame=(10, 20, 110, 120), side=50) == (0, 0, 50, 30)


FRAME, IMAGE_SIZE, MASK_BOX = (10, 5, 50, 45), (60, 40), (14.0, 9.0, 46.0, 41.0)


def blob_and_speck() -> np.ndarray:
    """A ring of 0.4 in a crop of 40 pixels, with a hole, and a speck that is surer than it."""
    prob = np.zeros((40, 40), np.float32)
    prob[4:24, 4:36] = 0.4
    prob[10:14, 10:14] = 0.01
    prob[30:33, 30:33] = 0.9
    return prob


def finished(prob: np.ndarray, **options) -> PastedMask:
    options = {"thresholds": [0.3], "box_xyxy": MASK_BOX, **options}
    return postprocess_mask(prob, FRAME, IMAGE_SIZE, box_area=32.0 * 32.0, **options)


def test_without_options_a_mask_is_what_the_threshold_gives():
    found, plain = finished(blob_and_speck()), paste_mask(blob_and_speck(), FRAME, IMAGE_SIZE, 0.3)
    assert np.array_equal(found.full(), plain.full())


def test_the_size_of_the_box_chooses_among_three_thresholds():
    assert finished(blob_and_speck(), thresholds=[0.3, 0.95, 0.95]).window.any()
    assert not finished(blob_and_speck(), thresholds=[0.95, 0.3, 0.3]).window.any()


def test_specks_go_and_holes_are_filled():
    found = finished(blob_and_speck(), cleaning=PostprocessOptions(min_part=0.1, fill_holes=0.1))
    expected = np.zeros((40, 60), bool)
    expected[9:29, 14:46] = True
    assert np.array_equal(found.full(), expected)


@pytest.mark.parametrize("option", ["min_part", "fill_holes"])
def test_an_empty_mask_stays_empty(option):
    found = finished(np.zeros((40, 40), np.float32), cleaning=PostprocessOptions(**{option: 1.0}))
    assert not found.full().any()


def test_with_box_fit_the_threshold_is_lowered_until_the_mask_reaches_its_box():
    prob = np.zeros((40, 40), np.float32)
    prob[4:36, 4:36] = 0.3
    prob[15:25, 15:25] = 0.9
    assert finished(prob, thresholds=[0.5]).window.sum() < 200
    assert finished(prob, thresholds="box_fit").window.sum() == 32 * 31  # the image ends in the last row


def spread() -> np.ndarray:
    """A crop of 40 pixels that is sure of everything, as a mask is that rounding has let out of its box."""
    return np.ones((40, 40), np.float32)


def test_a_mask_within_its_box_has_no_pixel_that_the_box_does_not_touch():
    box = (20.2, 10.0, 30.5, 20.0)
    found = postprocess_mask(
        spread(),
        FRAME,
        IMAGE_SIZE,
        box_xyxy=box,
        box_area=103.0,
        thresholds=[0.3],
        cleaning=PostprocessOptions(within_box=True),
    )
    rows, columns = np.nonzero(found.full())
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (20, 30, 10, 19)


@pytest.mark.parametrize(("width", "columns"), [(0.5, {20}), (1.0, {20}), (2.0, {20, 21}), (2.5, set(range(10, 50)))])
def test_masks_of_very_thin_boxes_keep_to_them_unasked(width, columns):
    found = finished(spread(), box_xyxy=(20.0, 10.0, 20.0 + width, 30.0))
    assert set(np.nonzero(found.full())[1].tolist()) == columns


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


masks = arrays(bool, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9))
area_shares = st.floats(0, 1)


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
    assert remove_small_components(two_parts, 0.3).sum() == 16


def test_a_part_as_large_as_the_share_stays(two_parts):
    assert remove_small_components(two_parts, 0.25).sum() == 20


def test_parts_that_touch_at_a_corner_are_one(two_parts):
    two_parts[5, 5] = two_parts[6, 6] = True
    assert np.array_equal(remove_small_components(two_parts, 1), two_parts)


def test_a_hole_up_to_the_share_is_filled(ring):
    assert fill_small_holes(ring, 4 / 60).all()
    assert np.array_equal(fill_small_holes(ring, 3 / 60), ring)


def test_a_bay_is_no_hole(ring):
    ring[3, 5:] = False
    assert np.array_equal(fill_small_holes(ring, 1), ring)


def test_a_hole_does_not_open_at_a_corner():
    mask = np.ones((4, 4), bool)
    mask[1, 1] = mask[0, 0] = False
    assert fill_small_holes(mask, 1)[1, 1]


@given(masks, area_shares)
def test_of_a_mask_only_whole_parts_go_and_the_largest_one_stays(mask, share):
    parts, count = ndimage.label(mask, np.ones((3, 3)))
    kept = remove_small_components(mask, share)
    sizes = [int((parts == part).sum()) for part in range(1, count + 1)]
    assert not (kept & ~mask).any()
    for part, size in enumerate(sizes, start=1):
        assert kept[parts == part].all() == kept[parts == part].any() == (size >= share * max(sizes))


@given(masks, area_shares)
def test_filling_only_adds_and_at_most_what_all_holes_hold(mask, share):
    filled = fill_small_holes(mask, share)
    assert not (mask & ~filled).any()
    assert not (filled & ~ndimage.binary_fill_holes(mask)).any()
    if not share:
        assert np.array_equal(filled, mask)
