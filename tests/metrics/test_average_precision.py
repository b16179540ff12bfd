from __future__ import annotations

import numpy as np
import pytest

from mal.masks.rle import Rle, rle_from_mask
from mal.metrics.average_precision import ScoredMask, mask_average_precision


def block(x0: int, y0: int, x1: int, y1: int) -> Rle:
    mask = np.zeros((64, 64), bool)
    mask[y0:y1, x0:x1] = True
    return rle_from_mask(mask)


TRUTHS = [ScoredMask(0, 3, block(0, 0, 10, 10)), ScoredMask(0, 3, block(20, 0, 30, 10))]


def test_masks_that_are_right_have_an_average_precision_of_1():
    found = mask_average_precision(TRUTHS, TRUTHS)
    assert (found["mask_ap"], found["mask_ap_50"], found["mask_ap_small"]) == (1.0, 1.0, 1.0)


def test_thresholds_up_to_the_iou_count():
    halves = [ScoredMask(0, 3, block(0, 0, 10, 6)), ScoredMask(0, 3, block(20, 0, 30, 6))]
    found = mask_average_precision(TRUTHS, halves)  # an IoU of 0.6 passes at 0.50, 0.55 and 0.60
    assert (found["mask_ap_50"], found["mask_ap_75"]) == (1.0, 0.0)
    assert found["mask_ap"] == pytest.approx(0.3)


@pytest.mark.parametrize(("score_of_the_wrong_one", "expected"), [(0.1, 51 / 101), (0.9, 25.5 / 101)])
def test_a_wrong_mask_costs_more_the_surer_it_is(score_of_the_wrong_one, expected):
    """One of two is found: precision 1, or 1/2 behind the wrong one, at the 51 recall levels up to one half."""
    predictions = [
        ScoredMask(0, 3, TRUTHS[0].rle, score=0.5),
        ScoredMask(0, 3, block(40, 40, 50, 50), score=score_of_the_wrong_one),
    ]
    assert mask_average_precision(TRUTHS, predictions)["mask_ap_50"] == pytest.approx(expected)


def test_a_mask_in_a_crowd_region_counts_neither_way():
    crowd = ScoredMask(0, 3, block(32, 32, 64, 64), is_crowd=True)
    predictions = [*TRUTHS, ScoredMask(0, 3, block(40, 40, 50, 50))]
    assert mask_average_precision([*TRUTHS, crowd], predictions)["mask_ap"] == 1.0
    assert mask_average_precision(TRUTHS, [*predictions[2:], *TRUTHS])["mask_ap"] < 1.0


def test_classes_and_images_are_kept_apart():
    elsewhere = [ScoredMask(1, 3, TRUTHS[0].rle), ScoredMask(0, 4, TRUTHS[1].rle)]
    assert mask_average_precision(TRUTHS, elsewhere)["mask_ap"] == 0.0


def test_without_masks_there_is_no_figure():
    assert set(mask_average_precision([], []).values()) == {None}


def test_sizes_without_a_true_mask_have_no_figure():
    assert mask_average_precision(TRUTHS, TRUTHS)["mask_ap_large"] is None


def test_nothing_is_printed(capfd):
    mask_average_precision(TRUTHS, TRUTHS)
    assert capfd.readouterr().out == ""
