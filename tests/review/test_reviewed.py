"""The export: what was decided is in the COCO file, and all else is as it was."""

from __future__ import annotations

import json

import pytest

from mal.coco.coco_file import read_coco
from mal.files import sha256
from mal.review.journal import read_review
from mal.review.reviewed import count_line, write_reviewed
from tests.review.reviewing import decide_one_of_each, disc, write_labels

DRAWN = disc(25, 40, 10)


@pytest.fixture
def labels(tmp_path):
    labels = write_labels(tmp_path)
    document = json.loads(labels.read_text())
    document["annotations"][0]["mal"] = {"status": "doubtful", "reason": "low", "of_mine": 1}
    document["info"] = {"by": "us"}
    labels.write_text(json.dumps(document))
    decide_one_of_each(labels, DRAWN)
    return labels


def exported(labels, **options):
    out = labels.with_name("out.json")
    counts = write_reviewed(read_coco(labels), read_review(labels), out, **({"keep_rejected": True} | options))
    return json.loads(out.read_text()), counts


def test_decisions_are_in_the_field_review_and_doubt_is_settled(labels):
    document, _ = exported(labels)
    mark = document["annotations"][0]["mal"]
    assert set(mark) == {"of_mine", "review"}
    assert (mark["review"]["state"], mark["review"]["by"], mark["review"]["version"]) == ("accepted", "ann", 1)
    assert document["mal"]["review"] == {"labels": "masks.json", "sha256": sha256(labels)}


def test_an_edited_annotation_has_the_drawn_mask_and_its_box_and_no_score_of_the_model(labels):
    document, _ = exported(labels)
    record, before = document["annotations"][1], json.loads(labels.read_text())["annotations"][1]
    assert record["segmentation"] == DRAWN
    assert record["bbox"] == [15, 30, 20, 20]
    assert record["mal"]["review"]["bbox_before"] == before["bbox"]
    assert "mask_score" not in record


def test_a_draft_keeps_the_mask_of_the_file_and_all_else_is_unchanged(labels):
    document, counts = exported(labels)
    before = json.loads(labels.read_text())
    assert document["annotations"][3]["segmentation"] == before["annotations"][3]["segmentation"]
    assert document["annotations"][4:] == before["annotations"][4:]
    assert document["images"] == before["images"]
    assert document["info"] == before["info"]
    assert count_line(counts) == "6 annotations: 1 rejected, 1 edited, 1 accepted, 1 draft, 2 undecided"


def test_rejected_ones_can_be_left_out(labels):
    document, _ = exported(labels, keep_rejected=False)
    assert [record["id"] for record in document["annotations"]] == [100, 101, 103, 104, 105]
