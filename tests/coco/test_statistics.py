from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mal.coco.boxes import select_boxes, training_boxes
from mal.coco.notes import RecordNote
from mal.coco.statistics import (
    ClassCount,
    _advice,
    absent_categories,
    class_counts,
    left_out_groups,
    note_groups,
    share_up_to,
    size_counts,
)
from mal.data.loaders import AnnotatedImages
from mal.errors import UserError
from tests.coco.coco_samples import annotation, coco_file, document

LIMITS = {"min_obj_size": 100.0, "max_obj_size": 1600.0}


def note(annotation_id, reason, action="skipped") -> RecordNote:
    return RecordNote(0, annotation_id, 1, action, reason)


def test_notes_are_grouped_whatever_their_values_and_the_first_is_the_example():
    groups = note_groups(
        [
            note(7, "bbox is null"),
            note(4, "bbox [1, 2, 0.5, -4e3] has no extent"),
            note(5, "bbox [9, 9, 0, 0] has no extent"),
            note(6, "bbox [9, 9, 0, 0] has no extent", action="warned"),
        ]
    )
    assert [(group.action, group.count, group.example_id) for group in groups] == [
        ("skipped", 2, 4), ("skipped", 1, 7), ("warned", 1, 6)
    ]  # fmt: skip
    assert groups[0].example == "bbox [1, 2, 0.5, -4e3] has no extent"


def test_names_and_sizes_do_not_split_a_group():
    reasons = ["image 7 (a.png) has no valid width and height", 'image "b" (c d.png) has no valid width and height']
    (group,) = note_groups(note(number, reason) for number, reason in enumerate(reasons))
    assert group.count == 2


def test_boxes_left_out_for_their_size_stand_beside_the_records_that_have_none(tmp_path):
    bare = [annotation(id=number, bbox=None) for number in (1, 2)]
    tiny = [annotation(id=number, bbox=[1, 1, 5, 5]) for number in (3, 4, 5)]
    coco = coco_file(tmp_path, document(*bare, *tiny, annotation(id=6, bbox=[1, 1, 2, 9]), annotation()))
    groups = left_out_groups(*select_boxes(coco), **LIMITS)
    assert [(group.count, group.example_id) for group in groups] == [(3, 3), (2, 1), (1, 6)]
    assert groups[0].example == "boxes that have an area of at most min_obj_size = 100 square pixels"


sides = st.sampled_from([1, 2, 5, 10, 20, 40, 60])
records = st.lists(
    st.builds(annotation, bbox=st.none() | st.tuples(st.just(1), st.just(1), sides, sides), iscrowd=st.integers(0, 1))
)


@given(records)
def test_what_is_left_out_and_what_is_trained_on_add_up_to_the_file(tmp_path_factory, annotations):
    coco = coco_file(tmp_path_factory.mktemp("coco"), document(*annotations))
    left_out = left_out_groups(*select_boxes(coco), **LIMITS)
    trained, _ = training_boxes(coco, **LIMITS)
    assert sum(group.count for group in left_out) + len(trained) == len(annotations)
    classes = class_counts(coco, trained)
    assert sum(entry.trained + entry.left_out for entry in classes) == len(annotations)


def test_classes_of_both_files_meet_by_name_the_one_with_most_boxes_first(tmp_path):
    categories = [{"id": 3, "name": "nut"}, {"id": 4, "name": "bolt"}]
    records = [annotation(id=1), annotation(id=2, category_id=4), annotation(id=3, category_id=4), annotation(id=4)]
    coco = coco_file(tmp_path, document(*records, annotation(category_id=None), categories=categories))
    trained = [box for box in select_boxes(coco)[0] if box.annotation_id in (2, 3, 4)]
    (tmp_path / "val").mkdir()
    other = coco_file(tmp_path / "val", document(annotation(category_id=9), categories=[{"id": 9, "name": "nut"}]))
    assert class_counts(coco, trained, (other, select_boxes(other)[0])) == [
        ClassCount("bolt", trained=2, left_out=0, validation=0),
        ClassCount("nut", trained=1, left_out=1, validation=1),
        ClassCount("no class", trained=0, left_out=1, validation=0),
    ]


def test_sizes_are_counted_and_the_share_up_to_a_size_includes_it(tmp_path):
    boxes, _ = select_boxes(
        coco_file(tmp_path, document(*(annotation(bbox=[0, 0, side, side]) for side in (10, 32, 33, 80))))
    )
    assert size_counts(boxes) == [2, 2, 0]
    assert share_up_to(boxes, 100) == 0.25
    assert share_up_to([], 100) is None


def test_a_file_without_categories_lacks_none(tmp_path):
    coco = coco_file(tmp_path, document(annotation(category_id=8), categories=[]))
    assert absent_categories(coco, select_boxes(coco)[0]) == {}


def reason(tmp_path, *annotations, min_obj_size=100.0, max_obj_size=1600.0) -> str:
    coco = coco_file(tmp_path, document(*annotations))
    with pytest.raises(UserError) as caught:
        AnnotatedImages(coco.path, tmp_path).boxes_to_train_on(min_obj_size=min_obj_size, max_obj_size=max_obj_size)
    line = str(caught.value)
    assert line.startswith(f"{coco.path}: no box to train on: ")
    assert "\n" not in line
    return line


def boxes_of(*areas: float) -> list[dict]:
    return [annotation(id=number, bbox=[1, 1, 4, area / 4]) for number, area in enumerate(areas)]


def test_a_file_without_annotations_says_so(tmp_path):
    assert "the file has no annotations" in reason(tmp_path)


def test_a_file_of_groups_only_says_so(tmp_path):
    assert "all 2 annotations are groups (iscrowd is 1)" in reason(tmp_path, *[annotation(iscrowd=1)] * 2)


def test_annotations_without_bbox_are_counted_with_the_first_one_named(tmp_path):
    crowd, bare = annotation(iscrowd=1), [annotation(id=number, bbox=...) for number in (7, 8)]
    line = reason(tmp_path, crowd, *bare)
    assert "of 3 annotations none can be used (2 like annotation 7: the annotation has no bbox; 1 like" in line


def test_boxes_below_the_smallest_size_are_told_with_their_sizes_and_a_value_that_keeps_half(tmp_path):
    line = reason(tmp_path, *boxes_of(20, 30, 40, 50))
    assert "all 4 boxes are left out for their size" in line
    assert "4 have an area of at most min_obj_size = 100 square pixels" in line
    assert "areas are 20 to 50, and dataset.min_obj_size=39 would keep 2 of those 4" in line


def test_boxes_above_the_largest_size_are_told_with_a_value_that_keeps_half(tmp_path):
    line = reason(tmp_path, *boxes_of(20, 200, 220, 240), max_obj_size=150.0)
    assert "1 have an area of at most min_obj_size = 100" in line
    assert "areas are 200 to 240, and dataset.max_obj_size=221 would keep 2 of those 3" in line


def test_boxes_that_are_all_thin_need_no_other_limit(tmp_path):
    line = reason(tmp_path, annotation(bbox=[1, 1, 2, 50]))
    assert "1 are at most 2 pixels wide or high" in line
    assert "obj_size" not in line


areas = st.lists(st.floats(min_value=4.1, max_value=1e6), max_size=9)


@given(small=areas, large=areas)
def test_the_value_named_keeps_as_many_as_said_and_at_least_half(small, large):
    said = re.search(r"dataset\.(\w+)=(\d+) would keep (\d+) of those (\d+)", _advice(sorted(small), sorted(large)))
    if said is None:
        assert not small + large
        return
    of_field = small if said[1] == "min_obj_size" else large
    kept = [area > int(said[2]) if said[1] == "min_obj_size" else area < int(said[2]) for area in of_field]
    assert (sum(kept), len(kept)) == (int(said[3]), int(said[4]))
    assert 2 * sum(kept) >= len(kept) >= max(len(small), len(large))


def test_boxes_in_shares_of_the_image_are_said_to_be_that(tmp_path):
    said = reason(tmp_path, *[annotation(id=id, bbox=[0.1, 0.2, 0.3, 0.4]) for id in range(3)])
    assert "3 are at most 2 pixels wide or high" in said
    assert "all 3 boxes lie within 0..1: bbox looks normalised" in said
