from __future__ import annotations

import numpy as np
import pytest

from mal.masks.cleaning import MaskCleaning, finished_mask
from mal.masks.paste import PastedMask, paste_mask

FRAME, IMAGE_SIZE, BOX = (10, 5, 50, 45), (60, 40), (14.0, 9.0, 46.0, 41.0)


def blob_and_speck() -> np.ndarray:
    """A ring of 0.4 in a crop of 40 pixels, with a hole, and a speck that is surer than it."""
    prob = np.zeros((40, 40), np.float32)
    prob[4:24, 4:36] = 0.4
    prob[10:14, 10:14] = 0.01
    prob[30:33, 30:33] = 0.9
    return prob


def finished(prob: np.ndarray, **options) -> PastedMask:
    options = {"thresholds": [0.3], "box_xyxy": BOX, **options}
    return finished_mask(prob, FRAME, IMAGE_SIZE, box_area=32.0 * 32.0, **options)


def test_without_options_a_mask_is_what_the_threshold_gives():
    found, plain = finished(blob_and_speck()), paste_mask(blob_and_speck(), FRAME, IMAGE_SIZE, 0.3)
    assert np.array_equal(found.full(), plain.full())


def test_the_size_of_the_box_chooses_among_three_thresholds():
    assert finished(blob_and_speck(), thresholds=[0.3, 0.95, 0.95]).window.any()
    assert not finished(blob_and_speck(), thresholds=[0.95, 0.3, 0.3]).window.any()


def test_specks_go_and_holes_are_filled():
    found = finished(blob_and_speck(), cleaning=MaskCleaning(min_part=0.1, fill_holes=0.1))
    expected = np.zeros((40, 60), bool)
    expected[9:29, 14:46] = True
    assert np.array_equal(found.full(), expected)


@pytest.mark.parametrize("option", ["min_part", "fill_holes"])
def test_an_empty_mask_stays_empty(option):
    found = finished(np.zeros((40, 40), np.float32), cleaning=MaskCleaning(**{option: 1.0}))
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
    found = finished_mask(
        spread(),
        FRAME,
        IMAGE_SIZE,
        box_xyxy=box,
        box_area=103.0,
        thresholds=[0.3],
        cleaning=MaskCleaning(within_box=True),
    )
    rows, columns = np.nonzero(found.full())
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (20, 30, 10, 19)


@pytest.mark.parametrize(("width", "columns"), [(0.5, {20}), (1.0, {20}), (2.0, {20, 21}), (2.5, set(range(10, 50)))])
def test_masks_of_very_thin_boxes_keep_to_them_unasked(width, columns):
    found = finished(spread(), box_xyxy=(20.0, 10.0, 20.0 + width, 30.0))
    assert set(np.nonzero(found.full())[1].tolist()) == columns
