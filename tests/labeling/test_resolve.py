from __future__ import annotations

import pytest

from mal.coco.notes import RecordNote
from mal.labeling.resolve import has_mask_to_keep, notes_beside_kept
from tests.coco.coco_samples import annotation, coco_file, document

POLYGON = [[1, 1, 9, 1, 9, 9]]


def kept(tmp_path, **changes: object) -> bool:
    (found,) = has_mask_to_keep(coco_file(tmp_path, document(annotation(**changes))))
    return bool(found)


@pytest.mark.parametrize("mask", [POLYGON, {"size": [80, 100], "counts": [8000]}, "unreadable"])
def test_whatever_stands_for_a_mask_is_kept(tmp_path, mask):
    assert kept(tmp_path, segmentation=mask)


@pytest.mark.parametrize("mask", [..., None, [], {}])
def test_nothing_is_not_kept(tmp_path, mask):
    assert not kept(tmp_path, segmentation=mask)


@pytest.mark.parametrize("status", ["failed", "skipped", "doubtful"])
def test_the_empty_mask_of_an_earlier_run_is_not_kept_but_a_mask_that_was_marked_is(tmp_path, status):
    mark = {"status": status, "reason": "x"}
    assert not kept(tmp_path, segmentation={"size": [80, 100], "counts": [8000]}, area=0, mal=mark)
    assert kept(tmp_path, segmentation=POLYGON, area=32, mal=mark)


def test_faults_of_kept_records_are_told_and_what_would_be_done_with_their_boxes_is_not(tmp_path):
    kept = has_mask_to_keep(coco_file(tmp_path, document(annotation(segmentation=POLYGON), annotation(id=11))))
    notes = [RecordNote(place, None, 1, action, "x") for place in (0, 1) for action in ("skipped", "clipped", "passed")]
    of_image = RecordNote(None, None, 1, "warned", "x")
    found = [(note.position, note.action) for note in notes_beside_kept([*notes, of_image], kept)]
    assert found == [(0, "warned"), (1, "skipped"), (1, "clipped"), (1, "passed"), (None, "warned")]
