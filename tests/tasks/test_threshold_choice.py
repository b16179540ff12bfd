from __future__ import annotations

import json

import numpy as np
import pytest

from mal.labeler import MaskAutoLabeler
from mal.runtime.process_group import single_process
from mal.tasks.threshold_choice import (
    ENOUGH_BOXES,
    THRESHOLDS,
    best_threshold,
    threshold_ious,
    threshold_line,
    threshold_table,
    write_thresholds,
)
from tests.small_networks import small_network, small_spec
from tests.training.test_true_masks import PLACES, record, source


def ious(best: int, boxes: int = ENOUGH_BOXES, own: float = 0.5) -> np.ndarray:
    values = np.full((boxes, 1 + len(THRESHOLDS)), 0.6)
    values[:, 0] = own
    values[:, 1 + best] = 0.7
    return values


def test_the_threshold_with_the_highest_mean_is_named_with_the_flag_that_sets_it():
    assert best_threshold(ious(3)) == 0.45
    assert best_threshold(np.full((4, 8), 0.5)) == 0.3
    line = threshold_line(ious(3), [0.4])
    assert line == "--threshold 0.45 (train.mask_thres=[0.45]) has 0.7000, [0.4] has 0.5000"
    assert "0.7000" in "".join(str(cell) for column in threshold_table(ious(3)).columns for cell in column.cells)


def test_a_threshold_that_is_no_better_and_too_few_boxes_are_said():
    assert threshold_line(ious(3, own=0.7), "box_fit") == "no threshold is better than the one that there is, box_fit"
    assert "too few to choose a threshold by: it takes 10" in threshold_line(ious(3, boxes=9), [0.4])


@pytest.mark.parametrize(("boxes", "best"), [(0, None), (9, None), (10, 0.45)])
def test_the_file_has_every_mean_and_a_best_one_where_boxes_are_enough(tmp_path, boxes, best):
    write_thresholds(ious(3, boxes), [0.4], tmp_path / "t.json")
    found = json.loads((tmp_path / "t.json").read_text())
    assert (found["boxes"], found["best"]) == (boxes, best)
    assert [each["threshold"] for each in found["thresholds"]] == (list(THRESHOLDS) if boxes else [])


def test_every_box_with_a_true_mask_is_measured_at_every_threshold_by_one_run_of_the_network(tmp_path):
    records = [*(record(number, box) for number, box in enumerate(PLACES)), record(9, PLACES[0], has_mask=False)]
    spec = small_spec(train={"mask_thres": [0.5]})
    labeler = MaskAutoLabeler.from_spec(small_network(), small_network(), spec)
    asked = []
    probabilities = labeler.probabilities
    labeler.probabilities = lambda batch: asked.append(len(batch)) or probabilities(batch)
    found = threshold_ious(source(tmp_path, "m.json", records), labeler, single_process(), batch_size=2, num_workers=0)
    assert found.shape == (3, 1 + len(THRESHOLDS))
    assert (found[:, 0] == found[:, 1 + THRESHOLDS.index(0.5)]).all()
    assert sum(asked) == 3
