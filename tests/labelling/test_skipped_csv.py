from __future__ import annotations

import csv

import pytest

from mal.data.boxes import select_boxes
from mal.data.notes import RecordNote
from mal.labelling.skipped_csv import COLUMNS, write_skipped_csv
from mal.labelling.what_was_done import what_was_done
from tests.data.coco_samples import annotation, coco_file, document


def entry(**changes):
    return dict.fromkeys(COLUMNS) | {"annotation_index": 0, "action": "skipped", "reason": "bbox is null"} | changes


def rows(tmp_path, *records):
    write_skipped_csv(records, tmp_path / "skipped.csv")
    with (tmp_path / "skipped.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_record_is_a_line_under_a_heading(tmp_path):
    records = [
        entry(annotation_id=7, image_id=1, file_name="a.png", done="empty mask written, and marked"),
        entry(annotation_index=None, action="warned", reason='two\nlines, a comma and a "quote"'),
    ]
    first, second = rows(tmp_path, *records)
    assert first == {
        "annotation_index": "0",
        "annotation_id": "7",
        "image_id": "1",
        "file_name": "a.png",
        "action": "skipped",
        "reason": "bbox is null",
        "done": "empty mask written, and marked",
    }
    assert second["annotation_index"] == ""
    assert second["reason"] == records[1]["reason"]


def test_without_records_there_is_a_heading(tmp_path):
    assert rows(tmp_path) == []
    assert (tmp_path / "skipped.csv").read_bytes() == ",".join(COLUMNS).encode() + b"\n"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("ann-1", "ann-1"),
        (2**70, str(2**70)),
        (1234567.5, "1234567.5"),
        ([1, "x"], '[1, "x"]'),
        (True, "true"),
        ("№ \ud800", "№ \\ud800"),
    ],
)
def test_ids_of_any_kind_are_written(tmp_path, value, text):
    (row,) = rows(tmp_path, entry(annotation_id=value))
    assert row["annotation_id"] == text


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (annotation(bbox=None), "empty mask written, and marked"),
        (annotation(bbox=None, segmentation=[[1, 1, 9, 1, 9, 9]]), "kept with the mask that it has, and marked"),
        (annotation(image_id=77), "kept without a mask, and marked"),
        (annotation(id=None, bbox=None), "empty mask written, and marked"),
        (7, "left out: a label file holds objects only"),
        (annotation(iscrowd=1), "copied unchanged"),
        (annotation(bbox=[-5, 0, 20, 20]), "box limited to the image"),
    ],
)
def test_what_was_done_with_a_record_is_said(tmp_path, record, said):
    coco = coco_file(tmp_path, document(record))
    assert what_was_done(coco, select_boxes(coco)[1][-1]) == said


def test_a_note_on_an_image_is_noted(tmp_path):
    coco = coco_file(tmp_path, document())
    assert what_was_done(coco, RecordNote(None, None, 1, "warned", "odd")) == "noted"
