from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mal.data.box_tables import (
    ClassCount,
    absent_categories,
    class_counts,
    left_out_groups,
    note_groups,
    share_up_to,
    size_counts,
)
from mal.data.boxes import select_boxes, training_boxes
from mal.data.notes import RecordNote
from tests.data.coco_samples import annotation, coco_file, document

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
