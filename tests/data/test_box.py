from __future__ import annotations

import gc
import pickle

import numpy as np
import pytest

from mal.data.boxes import select_boxes
from tests.data.coco_samples import annotation, coco_file, document


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
