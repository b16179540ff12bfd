from __future__ import annotations

import pytest

from mal.metrics.average_precision import mask_average_precision
from mal.metrics.results import EvaluationFigures, Figures
from mal.metrics.summary import evaluation_figures, summarize
from tests.metrics.evaluated import HALF, NOTHING, PERFECT, evaluated, evaluated_file


def figures(coco, predicted) -> EvaluationFigures:
    table, classes, _ = evaluated(coco, predicted)
    no_ap = mask_average_precision([], [])
    return evaluation_figures(
        summarize(table),
        dict.fromkeys(("model", "box", "ellipse"), no_ap),
        classes.names,
        checkpoint="some.pth",
        images=len(set(table["image"].tolist())),
        failed=0,
    )


@pytest.fixture
def found(tmp_path):
    return figures(evaluated_file(tmp_path), {0: PERFECT, 1: HALF, 2: NOTHING})


def test_means_are_those_counted_by_hand(found):
    assert found.model.miou_instances == pytest.approx((1 + 0.5 + 0) / 3)
    assert found.model.miou_classes == pytest.approx((0.75 + 0) / 2)
    assert found.model.dice_instances == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert [found.model.share_iou_50, found.model.share_iou_75, found.model.share_iou_90] == pytest.approx(
        [2 / 3, 1 / 3, 1 / 3]
    )


def test_the_boundary_iou_is_that_counted_by_hand(found):
    """At a ratio of 0.02 the strips of a 64 x 64 image are 2 pixels wide: 104 of the 10 x 20 pixels of the object.

    Of its upper half they are 64. Both have the upper side (20) and the flanks of the eight rows below it (8 x 4).
    """
    half = 52 / (104 + 64 - 52)
    assert found.model.boundary_iou_instances == pytest.approx((1 + half + 0) / 3)


def test_a_filled_box_around_half_an_object_has_an_iou_of_one_half(found):
    assert found.box.miou_instances == pytest.approx(0.5)
    assert found.model_minus_box.miou_instances.mean == pytest.approx(0.0)


def test_classes_have_their_figures_by_name(found):
    assert found.model.by_class["nut"].model_dump() == pytest.approx(
        {
            "miou": 0.75,
            "n": 2,
            "images": 2,
            "boundary_iou": found.model.by_class["nut"].boundary_iou,
            "dice": 5 / 6,
            "share_iou_50": 1.0,
            "share_iou_75": 0.5,
            "share_iou_90": 0.5,
        }
    )


def test_boxes_and_masks_are_sized_apart(found):
    assert (found.model.n_small, found.model.by_mask_area["small"].n) == (3, 3)
    assert found.model.by_mask_area["large"].miou_instances is None


def test_every_interval_holds_its_figure(found):
    for name, interval in found.model.intervals:
        assert interval[0] <= getattr(found.model, name) <= interval[1], name
    for name, difference in found.model_minus_ellipse:
        assert difference.interval[0] <= difference.mean <= difference.interval[1], name


def test_of_one_image_there_is_no_interval(tmp_path):
    found = figures(evaluated_file(tmp_path), {0: PERFECT})
    assert found.model.intervals is None
    assert found.model_minus_box.dice_instances.interval is None


def test_without_a_box_figures_are_null_and_counts_are_0(tmp_path):
    found = figures(evaluated_file(tmp_path), {})
    assert (found.model.n, found.model.miou_classes, found.model.dice_instances) == (0, None, None)
    assert found.model_minus_ellipse is None


def test_two_classes_of_one_name_are_told_apart_by_their_ids(tmp_path):
    coco = evaluated_file(tmp_path)
    coco.categories[8] = "nut"
    found = figures(coco, {0: PERFECT, 2: NOTHING})
    assert {name: entry.miou for name, entry in found.model.by_class.items()} == {"nut (id 3)": 1, "nut (id 8)": 0}


def test_figures_survive_the_way_to_json_and_back(found):
    assert EvaluationFigures.model_validate(found.as_json()) == found
    assert "clustering" not in found.as_json()


def test_every_figure_says_what_it_is():
    groups = [EvaluationFigures]
    for group in groups:
        groups += [other for other in Figures.__subclasses__() if other not in groups]
        assert all(meaning for _, meaning in group.rows()), group
