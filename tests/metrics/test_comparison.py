from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mal.metrics.comparison import Changes, Difference, PairedBoxes, compare, largest_changes


def paired(*runs: list[float], images: list[int] | None = None, classes: list[int] | None = None, area: float = 5000):
    count = len(runs[0])
    iou = np.array(runs, np.float64).T.reshape(count, len(runs))
    return PairedBoxes(
        iou=iou,
        boundary_iou=iou / 2,
        images=np.array(images if images is not None else range(count), np.int64),
        classes=np.array(classes or [0] * count, np.int64),
        box_areas=np.full(count, float(area)),
    )


def spread(count: int) -> list[float]:
    return np.random.default_rng(3).uniform(0.1, 0.8, count).tolist()


def test_a_gain_that_every_box_shares_is_certain_however_much_the_boxes_differ():
    first = spread(40)
    difference = compare(paired(first, [value + 0.01 for value in first])).figures["miou_instances"].differences[0]
    assert difference.mean == pytest.approx(0.01)
    assert difference.interval == pytest.approx((0.01, 0.01))
    assert difference.verdict == "better"
    assert 0.99 < difference.certainty < 1


def test_identical_runs_differ_by_exactly_nothing():
    values = spread(30)
    found = compare(paired(values, values, classes=[number % 3 for number in range(30)]))
    for figure in [*found.figures.values(), *found.classes.values()]:
        assert figure.differences == (Difference(0.0, (0.0, 0.0), 0.0),)
        assert figure.differences[0].verdict == "same"
    assert found.changes == (Changes(higher=0, lower=0, equal=30),)


def test_gains_and_losses_of_equal_size_are_no_clear_difference():
    first = spread(40)
    second = [value + (0.1 if number % 2 else -0.1) for number, value in enumerate(first)]
    difference = compare(paired(first, second)).figures["miou_instances"].differences[0]
    assert difference.verdict == "unclear"
    assert difference.certainty < 0.9
    low, high = difference.interval
    assert low < 0 < high


def test_figures_are_means_over_boxes_and_over_classes():
    found = compare(paired([0.2, 0.4, 0.9], [0.8, 0.4, 0.5], classes=[7, 7, 9])).figures
    assert found["miou_instances"].values == pytest.approx((0.5, 1.7 / 3))
    assert found["miou_classes"].values == pytest.approx(((0.3 + 0.9) / 2, (0.6 + 0.5) / 2))
    assert found["boundary_iou_instances"].values == pytest.approx((0.25, 1.7 / 6))
    assert found["dice_instances"].values[0] == pytest.approx(np.mean([0.4 / 1.2, 0.8 / 1.4, 1.8 / 1.9]))
    assert found["share_iou_50"].values == pytest.approx((1 / 3, 2 / 3))


def test_sizes_go_by_the_area_of_the_box_and_an_empty_one_is_left_out():
    boxes = paired([0.2, 0.4, 0.9], [0.3, 0.5, 0.6])
    boxes.box_areas[:] = [1024, 1025, 9216]
    found = compare(boxes).figures
    assert found["miou_instances_small"].values == pytest.approx((0.2, 0.3))
    assert found["miou_instances_medium"].values == pytest.approx((0.65, 0.55))
    assert found["miou_instances_medium"].boxes == 2
    assert "miou_instances_large" not in found


def test_a_single_image_has_a_difference_but_no_interval():
    difference = compare(paired([0.2, 0.4], [0.3, 0.5], images=[4, 4])).figures["miou_classes"].differences[0]
    assert difference.mean == pytest.approx(0.1)
    assert (difference.interval, difference.certainty) == (None, None)
    assert difference.verdict == "unclear"


def test_a_class_in_few_images_has_no_interval():
    values = spread(21)
    found = compare(paired(values, [value + 0.1 for value in values], classes=[0] * 12 + [1] * 9)).classes
    assert found[0].differences[0].interval == pytest.approx((0.1, 0.1))
    assert found[1].differences[0].interval is None
    assert found[1].differences[0].mean == pytest.approx(0.1)
    assert (found[1].boxes, found[1].images) == (9, 9)


def test_boxes_of_one_image_count_as_one_observation():
    rises = [0.2, 0.2, 0.2, 0.2, -0.1, -0.1, -0.1, -0.1]
    second = [0.5 + rise for rise in rises]
    apart = compare(paired([0.5] * 8, second)).figures["miou_instances"].differences[0]
    together = compare(paired([0.5] * 8, second, images=[0] * 4 + [1] * 4)).figures["miou_instances"].differences[0]
    assert together.certainty < apart.certainty
    assert together.interval == pytest.approx((-0.1, 0.2))


def test_more_than_two_runs_are_all_compared_with_the_first():
    first = spread(20)
    found = compare(paired(first, [value + 0.1 for value in first], [value - 0.2 for value in first]))
    differences = found.figures["miou_instances"].differences
    assert [round(each.mean, 6) for each in differences] == [0.1, -0.2]
    assert [each.verdict for each in differences] == ["better", "worse"]
    assert found.changes == (Changes(20, 0, 0), Changes(0, 20, 0))


def test_the_largest_changes_come_first_and_unchanged_boxes_not_at_all():
    higher, lower = largest_changes(paired([0.5, 0.5, 0.5, 0.5, 0.5], [0.6, 0.9, 0.5, 0.1, 0.4]), 1, count=3)
    assert (higher, lower) == ([1, 0], [3, 4])


def test_two_runs_that_are_equal_are_seldom_called_different():
    generator = np.random.default_rng(5)
    images = np.repeat(np.arange(40), 3)
    alarms = 0
    for _ in range(100):
        hard = generator.uniform(0.2, 0.8, 40)[images]
        first, second = (hard + generator.normal(0, 0.05, 40)[images] for _ in range(2))
        boxes = PairedBoxes(np.stack([first, second], 1), np.zeros((120, 2)), images, images * 0, images * 0.0)
        figure = compare(boxes, resamples=100).figures["miou_instances"]
        alarms += figure.differences[0].verdict != "unclear"
    assert alarms <= 12


def test_there_must_be_a_box():
    with pytest.raises(ValueError, match="no box"):
        compare(paired([], []))


shares = st.lists(
    st.tuples(st.floats(0, 1), st.floats(0, 1), st.integers(0, 5), st.integers(0, 2)), min_size=1, max_size=30
)


@settings(max_examples=25, deadline=None)
@given(shares)
def test_two_runs_the_other_way_round_differ_by_the_negative(rows):
    first, second, images, classes = (list(column) for column in zip(*rows, strict=True))
    there = compare(paired(first, second, images=images, classes=classes), resamples=40)
    back = compare(paired(second, first, images=images, classes=classes), resamples=40)
    for name, figure in there.figures.items():
        one, other = figure.differences[0], back.figures[name].differences[0]
        assert figure.values == back.figures[name].values[::-1]
        assert one.mean == -other.mean
        assert one.certainty == other.certainty
        if one.interval is not None:
            assert one.interval == pytest.approx([-end for end in other.interval[::-1]], abs=1e-12)
    assert there.changes[0] == Changes(back.changes[0].lower, back.changes[0].higher, back.changes[0].equal)
