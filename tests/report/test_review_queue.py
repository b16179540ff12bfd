from __future__ import annotations

import csv
import json

import pytest
from pycocotools.coco import COCO

from mal.report.label_results import read_labels
from mal.report.review_queue import review_rows, write_review_queue
from tests.report.made_up import made_up


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    files = made_up(tmp_path_factory.mktemp("labels"))
    return read_labels(files.labels, files.images)


def test_marked_masks_come_first_then_the_lowest_scores(labels):
    instances = labels[0].instances
    rows = review_rows(instances, 6)
    assert set(rows[:2]) == {1, 3}
    scores = instances.measures["score"][rows[2:]].tolist()
    assert scores == sorted(scores)
    assert scores[0] == min(score for row, score in enumerate(instances.measures["score"]) if row not in {1, 3})


def test_the_table_and_the_coco_file_hold_the_same_masks_in_the_same_order(labels, tmp_path):
    findings, coco = labels
    rows = review_rows(findings.instances, 5)
    table, subset = write_review_queue(coco, findings.instances, rows, tmp_path)
    listed = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    document = json.loads(subset.read_text(encoding="utf-8"))
    assert [int(line["annotation_id"]) for line in listed] == [entry["id"] for entry in document["annotations"]]
    assert listed[0]["reason"] == "the mask is empty"
    assert listed[-1]["reason"] == "low score"


def test_the_coco_file_is_complete_and_keeps_records_as_they_are(labels, tmp_path):
    findings, coco = labels
    _, subset = write_review_queue(coco, findings.instances, [0, 1], tmp_path)
    found = COCO(str(subset))
    assert {image["id"] for image in found.loadImgs(found.getImgIds())} == {0}
    assert all(annotation["note"] == "kept" for annotation in found.loadAnns(found.getAnnIds()))
    assert json.loads(subset.read_text())["info"] == {"a": 1}
    assert found.annToMask(found.loadAnns([100])[0]).any()
