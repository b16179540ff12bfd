"""Which boxes to draw first."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from mal.cli import main
from mal.coco.coco_file import read_coco
from mal.errors import UserError
from mal.files import sha256
from mal.reading import AS_STORED
from mal.review.choose import choose_boxes, choose_rows
from mal.review.journal import journal_path
from mal.review.journal_writer import Act, open_journal
from tests.review.reviewing import write_labels

features = st.integers(1, 40).flatmap(
    lambda rows: arrays(np.float64, (rows, 3), elements=st.integers(-3, 3).map(float))
)


@settings(max_examples=40)
@given(features, st.integers(1, 50), st.floats(0, 1))
def test_different_rows_are_chosen_as_many_as_asked_for_and_always_the_same(features, count, score):
    scores = np.where(np.arange(len(features)) % 3 == 0, np.nan, score)
    rows = choose_rows(features, scores, count)
    assert len(rows) == len(set(rows)) == min(count, len(features))
    assert rows == choose_rows(features, scores, count)


def test_every_kind_comes_before_any_comes_twice_the_largest_first():
    kinds = np.repeat(np.eye(4), [3, 9, 5, 7], axis=0)
    kinds += np.random.default_rng(0).normal(0, 0.01, kinds.shape)
    rows = choose_rows(kinds, np.full(len(kinds), 0.5), 4)
    assert [int(kinds[row].argmax()) for row in rows] == [1, 3, 2, 0]


def test_of_boxes_that_look_alike_the_most_doubtful_comes():
    scores = np.array([0.9, 0.2, 0.6, np.nan])
    assert choose_rows(np.zeros((4, 2)), scores, 1) == [1]
    assert choose_rows(np.zeros((4, 2)), scores, 3) == [1, 3, 2]


def choose(labels, count, done=()):
    return choose_boxes(read_coco(labels), labels.parent / "images", AS_STORED, count, done)


def test_boxes_of_other_colors_classes_and_sizes_are_of_other_kinds(tmp_path):
    labels = write_labels(tmp_path, images=4, of_each=3)
    Image.new("RGB", (120, 80), (250, 20, 20)).save(tmp_path / "images" / "2.png")
    document = json.loads(labels.read_text())
    for record in document["annotations"]:
        record["category_id"] = 1
    document["annotations"][1]["bbox"] = [0, 0, 110, 70]
    labels.write_text(json.dumps(document))
    chosen, unread = choose(labels, 3)
    assert unread == 0
    assert {box.file_name == "2.png" for box in chosen} == {True, False}
    assert 101 in {box.annotation_id for box in chosen}


def test_what_is_decided_too_small_or_unreadable_is_not_chosen(tmp_path):
    labels = write_labels(tmp_path, images=3)
    document = json.loads(labels.read_text())
    document["annotations"][2]["bbox"] = [3, 3, 40, 5]
    labels.write_text(json.dumps(document))
    (tmp_path / "images" / "1.png").write_bytes(b"no picture")
    chosen, unread = choose(labels, 9, done=[0, 7])
    assert sorted(box.position for box in chosen) == [1, 6, 8]
    assert unread == 1


def test_nothing_left_is_said(tmp_path):
    with pytest.raises(UserError, match="no box is left to choose from"):
        choose(write_labels(tmp_path), 3, done=range(6))


def test_the_command_names_boxes_and_writes_them_for_a_review(tmp_path, capsys):
    labels = write_labels(tmp_path)
    with open_journal(labels, sha256(labels), journal_path(labels)) as writer:
        writer.decide(Act(position=0, state="accepted", by="x", operation="a", base=0), 100)
    command = [
        "review",
        str(labels),
        str(tmp_path / "images"),
        "--choose",
        "4",
        "--chosen",
        str(tmp_path / "first.json"),
    ]
    assert main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(".")[0].strip() for line in lines[:4]] == ["1", "2", "3", "4"]
    assert "annotation 100 " not in "".join(lines)
    assert lines[-1].startswith(f"{tmp_path}/first.json: 4 boxes to draw: mal review {tmp_path}/first.json")
    written = read_coco(tmp_path / "first.json")
    before = {record["id"]: record for record in json.loads(labels.read_text())["annotations"]}
    assert len(written.annotations) == 4
    assert all(record == before[record["id"]] for record in written.annotations)
    assert main(command) == 1  # the file is there already


@pytest.mark.parametrize(
    "arguments",
    [["--choose", "3"], ["i", "--chosen", "o.json"], ["i", "--choose", "0"], ["i", "--choose", "2", "--export", "o"]],
)
def test_wrong_usage_ends_with_code_2(tmp_path, arguments):
    labels = write_labels(tmp_path)
    images = str(tmp_path / "images")
    assert main(["review", str(labels), *(images if word == "i" else word for word in arguments)]) == 2
