from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mal.coco.boxes import Box, select_boxes
from mal.coco.ground_truth import GroundTruth, reasons
from mal.coco.tables import ImageRecord
from mal.masks.rle import empty_rle, rle_area, rle_from_window
from tests.coco.coco_samples import annotation, coco_file, document

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


NO_PIXEL = {
    "an outline left of the image": [[-40, 20, -10, 20, -10, 60, -40, 60]],
    "an outline below it": [[10, 120, 40, 120, 40, 160, 10, 160]],
    "an outline without an area": [[10, 20, 40, 20, 10, 20]],
    "normalised": [[0.1, 0.25, 0.4, 0.25, 0.4, 0.45, 0.1, 0.45]],
    "empty RLE, as labelling writes it for boxes that it skipped": empty_rle(100, 80),
    "empty RLE in numbers": {"size": [80, 100], "counts": [8000]},
}


@pytest.mark.parametrize("segmentation", NO_PIXEL.values(), ids=NO_PIXEL)
def test_a_mask_without_a_pixel_is_none_and_named(tmp_path, segmentation):
    truth, (box,) = truth_of(tmp_path, segmentation)
    assert truth.rle(box) is None
    (note,) = truth.notes.values()
    assert (note.action, note.position) == ("warned", 0)
    assert "its mask has no pixel in its image of 100 x 80" in note.reason


def test_polygons_in_shares_of_the_image_are_said_to_look_so(tmp_path):
    truth, (box,) = truth_of(tmp_path, NO_PIXEL["normalised"])
    truth.rle(box)
    assert "look normalised" in truth.notes[0].reason


ELSEWHERE = {
    "beside the box": [60, 5, 90, 15],
    "a corner of it": [10, 20, 20, 30],
    "the whole image": [0, 0, 100, 80],
    "across it": [0, 39, 100, 41],
}


@pytest.mark.parametrize("corners", ELSEWHERE.values(), ids=ELSEWHERE)
def test_a_mask_that_hardly_fits_its_box_is_none_and_named_with_both(tmp_path, corners):
    x0, y0, x1, y1 = corners
    truth, (box,) = truth_of(tmp_path, [[x0, y0, x1, y0, x1, y1, x0, y1]])
    assert truth.rle(box) is None
    assert "its mask does not fit its box" in truth.notes[0].reason
    assert f"reaches over {[x0, y0, x1 - x0, y1 - y0]}, its bbox is [10.0, 20.0, 30.0, 40.0]" in truth.notes[0].reason


def test_many_masks_that_say_nothing_are_few_lines(tmp_path):
    truth, boxes = truth_of(tmp_path, NO_PIXEL["an outline below it"], SQUARE, NO_PIXEL["normalised"], [[1, 2]], [])
    assert truth.has_any(boxes)
    for box in boxes:
        truth.rle(box)
    assert [line.split(":")[0] for line in reasons(truth.notes.values())] == [
        f"1 boxes like annotation {number}" for number in (0, 2, 3, 4)
    ]


def test_a_file_whose_masks_all_say_nothing_has_none(tmp_path):
    truth, boxes = truth_of(tmp_path, NO_PIXEL["normalised"], [], [[1, 2]])
    assert not truth.has_any(boxes)


sides = st.integers(0, 39)


@given(x=sides, y=sides, width=st.integers(1, 40), height=st.integers(1, 40), data=st.data())
def test_a_mask_is_true_of_any_box_near_its_extent_and_of_none_apart_from_it(x, y, width, height, data):
    """However small the mask: its box may end half a pixel from where the mask does."""
    rle = rle_from_window(np.ones((height, width), bool), x0=x, y0=y, image_width=100, image_height=100)
    loose = st.floats(-0.5, 0.5) | st.floats(-0.1, 0.1).map(lambda share: share * min(width, height))
    left, top, right, bottom = (data.draw(loose) for _ in range(4))
    near = (
        x + min(left, 0.4),
        y + min(top, 0.4),
        width - min(left, 0.4) + max(right, -0.1),
        height - min(top, 0.4) + max(bottom, -0.1),
    )
    assert is_true_of(rle, near)
    assert not is_true_of(rle, (x + width + 2, y, 10.0, height))


def is_true_of(rle, xywh) -> bool:
    x, y, width, height = xywh
    box = Box(0, 1, ImageRecord(1, "a.png", 100, 100, 0), 3, (x, y, x + width, y + height), xywh)
    coco = type("OneMask", (), {"annotations": [{"segmentation": rle}]})
    return GroundTruth(coco).rle(box) is not None
