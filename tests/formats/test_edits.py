"""Masks that grow and shrink, and boxes that become those of the masks."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from mal.formats.edits import BoxChange, Distance, MaskEdits, edited, write_box_changes
from mal.formats.tally import Tally
from mal.masks.rle import mask_from_rle, rle_from_mask
from tests.formats.small_coco import HEIGHT, RING, WIDTH, annotation, coco_of, document, read_back, written

SQUARE = np.zeros((HEIGHT, WIDTH), bool)
SQUARE[3:8, 4:9] = True


def after(tmp_path, edits: MaskEdits, *records) -> tuple[list, list[BoxChange], Tally]:
    tally = Tally()
    coco, changes = edited(coco_of(tmp_path, document(*records)), edits, tally)
    return list(coco.annotations), changes, tally


@pytest.mark.parametrize(("distance", "pixels"), [(Distance(1), 45), (Distance(-1), 9), (Distance(20, True), 45)])
def test_masks_grow_and_shrink_with_their_area(tmp_path, distance, pixels):
    ((record,), _, _) = after(tmp_path, MaskEdits(border=distance), annotation(5, SQUARE))
    assert mask_from_rle(record["segmentation"]).sum() == record["area"] == pixels
    assert record["bbox"] == [4, 3, 5, 5]


def test_a_mask_that_would_vanish_stays_and_is_named(tmp_path):
    ((record,), _, tally) = after(tmp_path, MaskEdits(border=Distance(-4)), annotation(5, SQUARE))
    assert (mask_from_rle(record["segmentation"]) == SQUARE).all()
    (names,) = tally.changed.values()
    assert names == ["annotation 5 of a.png"]


def test_groups_boxes_and_broken_masks_stay_as_they_are(tmp_path):
    broken = annotation(7, SQUARE) | {"segmentation": {"size": [1, 1], "counts": "1"}}
    records = [annotation(5, SQUARE, iscrowd=1), annotation(6, None), broken]
    found, changes, _ = after(tmp_path, MaskEdits(Distance(2), tighten_boxes=True), *records)
    assert found == records
    assert changes == []


def test_boxes_become_those_of_the_masks_as_they_are_written(tmp_path):
    loose = annotation(5, SQUARE, bbox=[3.0, 2.0, 7.0, 7.5])
    found, changes, _ = after(tmp_path, MaskEdits(Distance(1), tighten_boxes=True), loose, annotation(6, RING))
    assert found[0]["bbox"] == [3, 2, 7, 7]
    assert (changes[0].old, changes[0].new) == ((3, 2, 7, 7.5), (3, 2, 7, 7))
    assert changes[0].iou == pytest.approx(49 / 52.5)


def test_a_box_is_made_where_there_was_none_and_every_format_gets_it(tmp_path):
    record = annotation(5, SQUARE)
    del record["bbox"]
    coco, (change,) = edited(coco_of(tmp_path, document(record)), MaskEdits(tighten_boxes=True), Tally())
    assert (change.old, change.iou) == (None, 0)
    written(coco, tmp_path / "out", "yolo")
    assert read_back(tmp_path / "out", images=tmp_path / "pictures")["annotations"][0]["bbox"] == [4, 3, 5, 5]


def test_nothing_asked_for_leaves_the_file_on_disk(tmp_path):
    coco = coco_of(tmp_path, document(annotation(5, SQUARE)))
    assert edited(coco, MaskEdits(), Tally()) == (coco, [])


def test_boxes_that_do_not_meet_have_no_iou():
    assert BoxChange(1, 1, "a", "b", (0, 0, 2, 2), (5, 5, 2, 2)).iou == 0


def test_the_table_has_old_and_new_boxes(tmp_path):
    write_box_changes([BoxChange(5, 7, "=a.png", "nut", (1, 2, 3.5, 4), (2, 2, 2, 2))], tmp_path / "t.csv")
    (row,) = csv.DictReader((tmp_path / "t.csv").read_text().splitlines())
    assert (row["old_width"], row["new_x"], row["iou"]) == ("3.5", "2", "0.285714")
    assert row["file_name"] == "'=a.png"


def test_percent_of_an_object_are_of_the_mean_of_its_sides():
    assert Distance(10, True).pixels(rle_from_mask(SQUARE)) == 0.5
