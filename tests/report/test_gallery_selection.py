from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mal.coco.tables import ImageRecord
from mal.report.gallery_selection import galleries
from mal.report.report_data import Instances


def instances(iou, *, classes=None, score=None, marks=None):
    count = len(iou)
    measures = {"iou": np.array(iou, np.float64)} if count else {}
    if score is not None:
        measures["score"] = np.array(score, np.float64)
    numbers = np.zeros(count, np.int64) if classes is None else np.array(classes)
    return Instances(
        positions=np.arange(count),
        annotation_ids=list(range(count)),
        images=[ImageRecord(1, "a.png", 64, 64, 0)],
        image_rows=np.zeros(count, np.int64),
        class_names=["a", "b", "c"],
        class_numbers=numbers,
        xywh=np.tile([0.0, 0.0, 8.0, 8.0], (count, 1)),
        measures=measures,
        marks=marks or {},
    )


def test_the_worst_come_lowest_first_and_hold_some_of_each_class():
    iou = np.linspace(0.1, 0.9, 30)
    chosen = galleries(instances(iou, classes=[0] * 20 + [1] * 9 + [2]), pictures=10)["worst"]
    assert chosen == sorted(chosen)
    assert chosen[0] == 0
    assert {20, 29} <= set(chosen)


def test_the_best_come_highest_first():
    assert galleries(instances(np.linspace(0, 1, 50)), pictures=40)["best"][:3] == [49, 48, 47]


def test_the_overconfident_promise_more_than_they_hold():
    found = galleries(instances([0.9, 0.2, 0.5], score=[0.9, 0.9, 0.6]), pictures=60)["overconfident"]
    assert found[0] == 1


def test_marked_masks_have_a_gallery_of_their_own():
    assert galleries(instances([0.5] * 9, marks={4: "empty"}), pictures=40)["doubtful"] == [4]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60), st.integers(5, 80))
def test_there_are_never_more_pictures_than_asked_for_and_no_row_twice_in_a_gallery(iou, pictures):
    chosen = galleries(instances(iou), pictures)
    assert len({row for rows in chosen.values() for row in rows}) <= pictures
    for rows in chosen.values():
        assert len(rows) == len(set(rows))


def test_a_mask_without_a_measure_is_neither_good_nor_bad():
    chosen = galleries(instances([np.nan, 0.5, 0.6]), pictures=60)
    assert 0 not in [*chosen["worst"], *chosen["best"]]
    assert 0 in chosen["random"]
