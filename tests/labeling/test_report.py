"""Whatever a file is like, every annotation is in the output or named; or the file is refused in one line."""

from __future__ import annotations

import csv
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mal.coco.boxes import select_boxes
from mal.coco.coco_file import CocoFile, read_coco
from mal.coco.lazy_json import JsonRecords
from mal.coco.notes import RecordNote
from mal.console import PlainConsole
from mal.data.images import fill_missing_sizes
from mal.errors import UserError
from mal.files import without_non_finite
from mal.labeling.label_file import write_label_file
from mal.labeling.report import (
    COLUMNS,
    label_report,
    outcome_text,
    summary_lines,
    write_label_report,
    write_skipped_csv,
)
from mal.labeling.shards import MaskLabel
from mal.masks.rle import rle_from_window
from mal.tasks.check import CheckSource, check_source, summary
from mal.tasks.check_tables import advice_lines, file_tables
from tests.coco.coco_samples import annotation, coco_file, document
from tests.labeling.damage import damaged_files, sound_document

OUTCOMES = ("labelled", "skipped", "passed", "failed", "kept")


@settings(max_examples=100, deadline=None)
@given(damaged_files(), st.sets(st.integers(0, 5)))
@example(json.dumps(sound_document()).encode(), set())
def test_every_annotation_is_accounted_for_or_the_file_is_refused_in_one_line(content, unreadable):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "boxes.json").write_bytes(content)
        coco, refusal = read(folder / "boxes.json")
        if coco is None:
            assert str(folder / "boxes.json") in refusal
            assert len(refusal.splitlines()) == 1
            return
        report, output = label(coco, folder, unreadable)
        check_counts(report, coco)
        check_output(output, report, coco)
        check_table(folder / "skipped.csv", report)


@settings(max_examples=30, deadline=None)
@given(damaged_files())
def test_the_check_counts_as_a_run_does_and_shows_any_file(content):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "boxes.json").write_bytes(content)
        coco, _ = read(folder / "boxes.json")
        if coco is None:
            return
        result = summary(check_source(CheckSource(str(coco.path), name, ("labelling",))))
        assert json.loads(json.dumps(result, allow_nan=False))["records"] == result["records"]
        with Path(os.devnull).open("w") as nowhere:
            PlainConsole(file=nowhere).print(*file_tables(result, limit=2), *advice_lines(result, deep=False))
        report, _ = label(coco, folder, set(range(len(coco.document["images"]))))
        assert {**result["counts"], "warned": 0} == {**report["counts"], "warned": 0}


def read(path: Path) -> tuple[CocoFile | None, str]:
    """The file, or why it is refused."""
    try:
        return read_coco(path), ""
    except UserError as error:
        return None, str(error)


def label(coco: CocoFile, folder: Path, unreadable: set[int]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Report and output where the pictures of some positions in ``images`` cannot be read."""
    notes = fill_missing_sizes(coco, folder)
    boxes, box_notes = select_boxes(coco)
    labels = {}
    for box in boxes:
        if box.image.position in unreadable:
            notes.append(RecordNote(box.position, box.annotation_id, box.image.id, "failed", "unreadable"))
        else:
            window = np.ones((1, 1), bool)
            x, y = (
                min(int(start), size - 1)
                for start, size in zip(box.xyxy, (box.image.width, box.image.height), strict=False)
            )
            rle = rle_from_window(window, x0=x, y0=y, image_width=box.image.width, image_height=box.image.height)
            labels[box.position] = MaskLabel(rle)
    notes += box_notes
    notes += write_label_file(coco, labels, notes, folder / "out.json")
    report = label_report(coco, set(labels), notes)
    write_label_report(report, folder / "report.json")
    write_skipped_csv(report["records"], folder / "skipped.csv")
    assert all(len(line.splitlines()) == 1 for line in summary_lines(report))
    return strict(folder / "report.json"), strict(folder / "out.json")


def check_counts(report: dict[str, Any], coco: CocoFile) -> None:
    counts = report["counts"]
    assert sum(counts.get(name, 0) for name in OUTCOMES) == counts["annotations"] == len(coco.annotations)
    for name in ("skipped", "passed", "failed"):
        named = [entry["annotation_index"] for entry in report["records"] if entry["action"] == name]
        assert len(named) == len(set(named)) == counts[name]


def check_output(output: dict[str, Any], report: dict[str, Any], coco: CocoFile) -> None:
    outcome = {entry["annotation_index"]: entry["action"] for entry in report["records"] if entry["action"] in OUTCOMES}
    written = iter(output["annotations"])
    for position, before in enumerate(coco.annotations):
        if not isinstance(before, dict):
            assert outcome[position] == "skipped"
            continue
        after = next(written)
        assert {key: after[key] for key in before if key not in CHANGED} == finite(before, CHANGED)
        for key in ("id", "image_id", "category_id"):
            assert after[key] == (None if isinstance(before.get(key), (dict, list)) else finite(before).get(key))
        if position in outcome:
            assert outcome[position] == "passed" or after["mal"]["status"] == outcome[position]
        else:
            image = coco.images[before["image_id"]]
            assert after["segmentation"]["size"] == [image.height, image.width]
            assert after["area"] == 1
    assert next(written, None) is None
    others = {
        key: list(value) if isinstance(value, JsonRecords) else value
        for key, value in coco.document.items()
        if key != "annotations"
    }
    assert {key: value for key, value in output.items() if key != "annotations"} == finite(others)


CHANGED = ("id", "image_id", "category_id", "segmentation", "area", "iscrowd", "mal")


def check_table(path: Path, report: dict[str, Any]) -> None:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["action"] for row in rows] == [entry["action"] for entry in report["records"]]


def finite(record: dict[str, Any], without: tuple[str, ...] = ()) -> dict[str, Any]:
    """What strict JSON can hold of a record."""
    result: dict[str, Any] = without_non_finite({key: value for key, value in record.items() if key not in without})[0]
    return result


def strict(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"), parse_constant=pytest.fail)


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
    assert outcome_text(coco, select_boxes(coco)[1][-1]) == said


def test_a_note_on_an_image_is_noted(tmp_path):
    coco = coco_file(tmp_path, document())
    assert outcome_text(coco, RecordNote(None, None, 1, "warned", "odd")) == "noted"
