from __future__ import annotations

from mal.data.boxes import select_boxes
from mal.data.ground_truth import GroundTruth
from mal.masks.rle import rle_area
from tests.data.coco_samples import annotation, coco_file, document

SQUARE = [[10, 20, 40, 20, 40, 60, 10, 60]]


def truth_of(tmp_path, *segmentations):
    records = [annotation(id=number, segmentation=shape) for number, shape in enumerate(segmentations)]
    coco = coco_file(tmp_path, document(*records))
    return GroundTruth(coco), select_boxes(coco)[0]


def test_a_polygon_becomes_a_mask_of_the_image_s_size(tmp_path):
    truth, (box,) = truth_of(tmp_path, SQUARE)
    rle = truth.rle(box)
    assert rle["size"] == [80, 100]
    assert rle_area(rle) == 1200
    assert not truth.notes


def test_a_box_without_a_mask_is_named_once(tmp_path):
    truth, boxes = truth_of(tmp_path, SQUARE, ..., [])
    for box in (*boxes, *boxes):
        truth.rle(box)
    assert [note.annotation_id for note in truth.notes.values()] == [1, 2]
    assert all("no mask in the file" in note.reason for note in truth.notes.values())


def test_a_mask_that_cannot_be_read_is_named_with_the_reason(tmp_path):
    truth, (box,) = truth_of(tmp_path, [[1, 2]])
    assert truth.rle(box) is None
    (note,) = truth.notes.values()
    assert note.action == "warned"
    assert "mask not readable: a polygon" in note.reason
