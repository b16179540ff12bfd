from __future__ import annotations

import gc
import json
import pickle

import numpy as np
import pytest

from mal.coco.boxes import Box, select_boxes, training_boxes
from mal.coco.coco_file import read_coco
from mal.coco.tables import ImageRecord
from tests.coco.coco_samples import annotation, coco_file, document


def selected(tmp_path, *annotations, **other):
    return select_boxes(coco_file(tmp_path, document(*annotations, **other)))


def test_a_sound_box_becomes_corners_and_no_note(tmp_path):
    (box,), notes = selected(tmp_path, annotation())
    assert box.xyxy == (10, 20, 40, 60)
    assert (box.position, box.annotation_id, box.image.id, box.category_id, box.area) == (0, 10, 1, 3, 1200)
    assert notes == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"bbox": ...}, "has no bbox"),
        ({"bbox": None}, "bbox is null"),
        ({"bbox": []}, "bbox [] is not a list of four numbers"),
        ({"bbox": [1, 2, 3]}, "bbox [1, 2, 3] is not a list of four numbers"),
        ({"bbox": {"x": 1}}, 'bbox {"x": 1} is not a list of four numbers'),
        ({"bbox": ["1", "2", "3", "4"]}, "holds a value that is not a finite number"),
        ({"bbox": [True, 2, 3, 4]}, "holds a value that is not a finite number"),
        ({"bbox": [float("nan"), 2, 3, 4]}, "bbox [NaN, 2, 3, 4] holds"),
        ({"bbox": [1, 2, float("inf"), 4]}, "bbox [1, 2, Infinity, 4] holds"),
        ({"bbox": [1, 2, 10**400, 4]}, "holds a value that is not a finite number"),
        ({"bbox": [1, 2, 0, 4]}, "has no extent"),
        ({"bbox": [1, 2, 3, -4]}, "bbox [1, 2, 3, -4] has no extent"),
        ({"bbox": [100, 2, 3, 4]}, "lies outside its image of 100 x 80"),
        ({"bbox": [-9, 2, 9, 4]}, "lies outside its image of 100 x 80"),
        ({"bbox": [1, 500, 3, 4]}, "lies outside its image of 100 x 80"),
        ({"image_id": 2}, 'image_id 2 is not in "images"'),
        ({"image_id": "1"}, 'image_id "1" is not in "images", which has 1: numbers and texts are different ids'),
        ({"image_id": ...}, "image_id is null"),
        ({"image_id": [1]}, "image_id is [1]"),
    ],
)
def test_an_annotation_without_a_usable_box_is_skipped_with_the_bad_value_named(tmp_path, changes, said):
    boxes, (note,) = selected(tmp_path, annotation(**changes))
    assert not boxes
    assert (note.position, note.annotation_id, note.action) == (0, 10, "skipped")
    assert said in note.reason


def test_a_number_does_not_match_the_text_of_an_image_id(tmp_path):
    images = [{"id": "1", "file_name": "a.png", "width": 9, "height": 9}]
    boxes, (note,) = selected(tmp_path, annotation(), images=images)
    assert not boxes
    assert 'which has "1"' in note.reason


def test_an_entry_that_is_no_object_is_skipped(tmp_path):
    boxes, (note,) = selected(tmp_path, 7)
    assert not boxes
    assert (note.position, note.action) == (0, "skipped")


@pytest.mark.parametrize(
    ("bbox", "xyxy"),
    [
        ([-5, -6, 20, 20], (0, 0, 15, 14)),
        ([90, 70, 20, 20], (90, 70, 100, 80)),
        ([-1, -1, 999, 999], (0, 0, 100, 80)),
        ([1, 1, 1e299, 1], (1, 1, 100, 2)),
    ],
)
def test_a_box_reaching_outside_is_clipped_and_said_so(tmp_path, bbox, xyxy):
    (box,), (note,) = selected(tmp_path, annotation(bbox=bbox))
    assert box.xyxy == xyxy
    assert list(box.xywh) == bbox
    assert note.action == "clipped"


def test_rounding_at_the_border_is_clipped_without_a_note(tmp_path):
    (box,), notes = selected(tmp_path, annotation(bbox=[90, 70, 10.001, 10.001]))
    assert box.xyxy == (90, 70, 100, 80)
    assert notes == []


def test_a_group_region_is_passed_and_never_labelled(tmp_path):
    boxes, (note,) = selected(tmp_path, annotation(iscrowd=1, image_id=77, bbox=None))
    assert not boxes
    assert note.action == "passed"


def test_an_annotation_without_iscrowd_is_labelled(tmp_path):
    boxes, notes = selected(tmp_path, annotation(iscrowd=...))
    assert (len(boxes), notes) == (1, [])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"category_id": 55}, "category_id 55 is not in"),
        ({"category_id": "3"}, 'category_id "3" is not in'),
        ({"category_id": [3]}, "category_id [3] is not in"),
        ({"category_id": None}, "category_id is missing or null"),
        ({"category_id": ...}, "category_id is missing or null"),
        ({"id": ...}, "no usable id (null)"),
        ({"id": [1]}, "no usable id ([1])"),
    ],
)
def test_an_odd_id_or_class_is_kept_with_a_warning(tmp_path, changes, said):
    boxes, (note,) = selected(tmp_path, annotation(**changes))
    assert len(boxes) == 1
    assert note.action == "warned"
    assert said in note.reason


def test_two_annotations_with_one_id_are_both_kept(tmp_path):
    boxes, (note,) = selected(tmp_path, annotation(), annotation(bbox=[1, 1, 5, 5]))
    assert [box.position for box in boxes] == [0, 1]
    assert (note.position, note.action) == (1, "warned")
    assert "at annotations[0]" in note.reason


def test_boxes_come_image_by_image(tmp_path):
    images = [{"id": name, "file_name": name, "width": 99, "height": 99} for name in ("b", "a")]
    order = ["a", "b", "a", "b"]
    boxes, _ = selected(tmp_path, *(annotation(id=i, image_id=name) for i, name in enumerate(order)), images=images)
    assert [(box.image.id, box.position) for box in boxes] == [("b", 1), ("b", 3), ("a", 0), ("a", 2)]


def test_training_leaves_out_boxes_by_size_and_counts_them_once_per_rule(tmp_path):
    sides = [(2, 50), (50, 2), (2.5, 2.5), (10, 10), (20, 20), (40, 40), (50, 50)]
    content = document(*(annotation(id=i, bbox=[1, 1, w, h]) for i, (w, h) in enumerate(sides)))
    boxes, notes = training_boxes(coco_file(tmp_path, content), min_obj_size=100, max_obj_size=1600)
    assert [box.annotation_id for box in boxes] == [4]
    assert all(note.position is None and note.action == "skipped" for note in notes)
    assert [note.reason.split()[0] for note in notes] == ["2", "2", "2"]
    assert "min_obj_size = 100" in notes[1].reason
    assert "max_obj_size = 1600" in notes[2].reason


def test_the_size_rules_look_at_what_is_visible_of_a_box(tmp_path):
    content = document(annotation(bbox=[99, 10, 30, 30]))
    boxes, notes = training_boxes(coco_file(tmp_path, content), min_obj_size=100, max_obj_size=1e10)
    assert not boxes
    assert [note.action for note in notes] == ["clipped", "skipped"]


# What our actions are called in the table of expected outcomes, before any image is opened.
_WORDS = {"skipped": {"flag", "report"}, "passed": {"pass"}, "labelled": {"keep", "clip"}}


def test_every_record_of_the_nasty_file_has_an_accepted_outcome(shared):
    folder = shared / "data/nasty"
    coco = read_coco(folder / "annotations/nasty.json")
    boxes, notes = select_boxes(coco)
    outcome = {box.position: "labelled" for box in boxes}
    outcome |= {note.position: note.action for note in notes if note.action in ("skipped", "passed")}
    expected = json.loads((folder / "expected.json").read_text())
    # Records that only the image's file can tell about are labelled as far as this module sees.
    file_is_bad = {image["image_id"] for image in expected["images"] if "keep" not in image["accept"]}
    wrong = [
        (row["index"], row["annotation_id"], outcome[row["index"]])
        for row in expected["annotations"]
        if row["image_id"] not in file_is_bad and not _WORDS[outcome[row["index"]]] & set(row["accept"])
    ]
    assert wrong == []
    assert len(outcome) == len(coco.annotations) == 376
    assert {note.annotation_id for note in notes if note.action == "clipped"} == {201, 202, 231}


@pytest.mark.parametrize(
    ("name", "labelled", "skipped"),
    [
        ("nan_literal", {101, 102, 105, 106}, {103, 104}),
        ("utf8_bom", {101, 102, 103, 104, 105, 106}, set()),
        ("no_categories", {101, 102, 103, 104, 105, 106}, set()),
        ("annotations_empty_list", set(), set()),
    ],
)
def test_small_odd_files_are_read_as_expected(shared, name, labelled, skipped):
    boxes, notes = select_boxes(read_coco(shared / f"data/nasty/annotations/{name}.json"))
    assert {box.annotation_id for box in boxes} == labelled
    assert {note.annotation_id for note in notes if note.action == "skipped"} == skipped


def test_the_area_of_a_box_is_that_of_its_visible_part():
    image = ImageRecord(id=1, file_name="a.jpg", width=100, height=100, position=0)
    inside = Box(0, 1, image, 1, xyxy=(10.3, 5.7, 10.3 + 32, 5.7 + 32), xywh=(10.3, 5.7, 32, 32))
    cut = Box(0, 1, image, 1, xyxy=(90, 10, 100, 30), xywh=(90, 10, 500, 20))
    assert inside.area == 1024
    assert cut.area == 200


@pytest.mark.parametrize("iscrowd", ["1", "0", 2, -1, None, [], 0.5])
def test_iscrowd_that_is_neither_0_nor_1_is_told_and_the_box_is_labelled(tmp_path, iscrowd):
    boxes, (note,) = selected(tmp_path, annotation(iscrowd=iscrowd))
    assert len(boxes) == 1
    assert (note.action, note.position) == ("warned", 0)
    assert f"iscrowd is {json.dumps(iscrowd)}, neither 0 nor 1" in note.reason


@pytest.mark.parametrize(("iscrowd", "is_labeled"), [(True, False), (1.0, False), (False, True), (0.0, True)])
def test_iscrowd_may_be_written_as_a_truth_value_or_a_float(tmp_path, iscrowd, is_labeled):
    boxes, notes = selected(tmp_path, annotation(iscrowd=iscrowd))
    assert len(boxes) == is_labeled
    assert not [note for note in notes if note.action == "warned"]


def test_boxes_that_look_like_another_convention_are_told_before_all_else(tmp_path):
    bare = annotation(id=9, bbox=None)
    shares = [annotation(id=id, bbox=[0.1 * id, 0.2, 0.3, 0.4]) for id in range(3)]
    boxes, (first, second) = selected(tmp_path, bare, *shares)
    assert len(boxes) == 3
    assert (first.action, first.position, first.image_id) == ("warned", None, None)
    assert "all 3 boxes lie within 0..1" in first.reason
    assert second.action == "skipped"


@pytest.fixture
def coco(tmp_path):
    images = [{"id": name, "file_name": f"{name}.png", "width": 100, "height": 80} for name in ("b", "unused", "a")]
    annotations = [
        annotation(id=0, image_id="a", bbox=[-5, 10, 20, 20]),
        annotation(id="one", image_id="b", segmentation=[[1, 1, 9, 1, 9, 9]]),
        annotation(id=2, image_id="a", category_id="?", segmentation=[]),
    ]
    return coco_file(tmp_path, document(*annotations, images=images))


def test_columns_and_single_boxes_say_the_same(coco):
    boxes, _ = select_boxes(coco)
    assert boxes.positions.tolist() == [box.position for box in boxes] == [1, 0, 2]
    assert boxes.xyxy.tolist() == [list(box.xyxy) for box in boxes]
    assert boxes.visible_sizes.tolist() == [list(box.visible_size) for box in boxes]
    assert [boxes.images[0], boxes.images[1], boxes.images[1]] == [box.image for box in boxes]
    assert boxes.has_mask.tolist() == [True, False, False]
    assert [(box.annotation_id, box.category_id) for box in boxes] == [("one", 3), (0, 3), (2, "?")]


def test_a_choice_of_boxes_keeps_what_belongs_to_them(coco):
    boxes, _ = select_boxes(coco)
    chosen = boxes.take(np.array([2, 0]))
    assert list(chosen) == [boxes[2], boxes[0]]
    assert chosen[-1:] == [boxes[0]]


def test_boxes_can_be_sent_to_another_process(coco):
    boxes, _ = select_boxes(coco)
    assert list(pickle.loads(pickle.dumps(boxes))) == list(boxes)


def test_boxes_and_their_file_hold_no_object_for_each_annotation(tmp_path):
    content = document(*(annotation(id=number, segmentation=[[1, 1, 9, 1, 9, 9]]) for number in range(2000)))
    select_boxes(coco_file(tmp_path, content))  # what is imported or made once is there now
    gc.collect()
    before = len(gc.get_objects())
    coco = coco_file(tmp_path, content)
    boxes, _ = select_boxes(coco)
    gc.collect()
    assert len(boxes) == 2000
    assert len(gc.get_objects()) - before < 100
