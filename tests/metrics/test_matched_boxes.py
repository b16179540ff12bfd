from __future__ import annotations

from dataclasses import fields, replace

import pytest

from mal.metrics.instance_file import InstanceRow, read_instances
from mal.metrics.matched_boxes import match_boxes, paired_boxes


@pytest.fixture
def instance(tmp_path):
    """One row, made by the reader of the file, so that this test need not know its columns."""
    values = {column.name: "1" for column in fields(InstanceRow)}
    values |= {"file_name": "a.jpg", "category": "cat", "annotation_index": "0"}
    path = tmp_path / "instances.csv"
    path.write_text(",".join(values) + "\n" + ",".join(values.values()) + "\n")
    return read_instances(path)[0]


def test_boxes_are_the_same_where_image_and_annotation_are(instance):
    first = [replace(instance, annotation_index=n, annotation_id=str(n)) for n in (1, 2, 3)]
    second = [replace(instance, annotation_index=n, annotation_id=str(n)) for n in (3, 1)]
    matched = match_boxes([first, second])
    assert matched.rows.tolist() == [[0, 1], [2, 0]]
    assert matched.alone == (1, 0)
    assert (matched.moved, matched.other_truth) == (0, 0)


def test_one_id_in_two_pictures_is_two_boxes(instance):
    matched = match_boxes([[instance], [replace(instance, file_name="b.jpg")]])
    assert matched.rows.shape == (0, 2)
    assert matched.alone == (1, 1)


def test_annotations_that_share_an_id_go_together_in_their_order(instance):
    run = [replace(instance, annotation_index=5, x=50), replace(instance, annotation_index=2, x=20)]
    other = [replace(instance, annotation_index=2, x=20), replace(instance, annotation_index=5, x=50)]
    assert match_boxes([run, other]).rows.tolist() == [[0, 1], [1, 0]]


def test_a_box_at_another_place_is_not_compared_and_counted(instance):
    matched = match_boxes([[instance], [replace(instance, x=instance.x + 1.5)]])
    assert matched.rows.shape == (0, 2)
    assert (matched.moved, matched.alone) == (1, (0, 0))
    assert match_boxes([[instance], [replace(instance, x=instance.x + 0.5)]]).moved == 0


def test_a_true_mask_of_another_area_is_counted(instance):
    matched = match_boxes([[instance], [replace(instance, true_area=7)]])
    assert matched.rows.tolist() == [[0, 0]]
    assert matched.other_truth == 1


def test_figures_of_matched_boxes_stand_side_by_side(instance):
    first = [
        replace(instance, annotation_id="1", iou=0.1, category="cat"),
        replace(instance, annotation_id="2", iou=0.2, category="dog", file_name="b.jpg", box_area=2000.0),
    ]
    second = [replace(first[1], iou=0.4, boundary_iou=0.3), replace(first[0], iou=0.3)]
    paired, names = paired_boxes([first, second], match_boxes([first, second]))
    assert paired.iou.tolist() == [[0.1, 0.3], [0.2, 0.4]]
    assert paired.boundary_iou[1].tolist() == [1.0, 0.3]
    assert [names[number] for number in paired.classes] == ["cat", "dog"]
    assert paired.images.tolist() == [0, 1]
    assert paired.box_areas.tolist() == [1.0, 2000.0]


def test_runs_without_a_common_box_have_no_rows(instance):
    runs = [[instance], []]
    paired, names = paired_boxes(runs, match_boxes(runs))
    assert paired.iou.shape == (0, 2)
    assert names == []
