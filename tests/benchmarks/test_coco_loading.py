"""Both sides must read the same, from a file that is like COCO's."""

from __future__ import annotations

import pytest

from benchmarks.coco_files import write_coco_file
from benchmarks.coco_load_once import SIDES
from mal.coco.boxes import select_boxes
from mal.coco.coco_file import read_coco
from mal.coco.ground_truth import GroundTruth
from mal.masks.rle import rle_area


@pytest.mark.parametrize("num_annotations", [1, 300])
def test_both_sides_account_for_every_annotation_of_a_made_file(tmp_path, num_annotations):
    write_coco_file(tmp_path / "made.json", num_annotations=num_annotations)
    assert {side(tmp_path / "made.json") for side in SIDES.values()} == {num_annotations}


def test_a_made_file_is_sound_and_has_polygons_in_its_boxes(tmp_path):
    write_coco_file(tmp_path / "made.json", num_annotations=300)
    coco = read_coco(tmp_path / "made.json")
    boxes, notes = select_boxes(coco)
    assert coco.notes == []
    assert {note.action for note in notes} == {"passed"}
    truth = GroundTruth(coco)
    for box in boxes[:20]:
        mask = truth.rle(box)
        assert mask is not None
        assert 0 < rle_area(mask) <= 1.2 * box.area
