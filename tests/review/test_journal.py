"""The journal: what was confirmed counts, whatever happened to the last line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mal.errors import UserError
from mal.files import sha256
from mal.review.journal import (
    STATES,
    Decision,
    decision_line,
    header_line,
    journal_path,
    read_journal,
    read_review,
)
from mal.review.journal_writer import open_journal
from tests.review.reviewing import act, disc, write_labels


@pytest.fixture
def labels(tmp_path):
    return write_labels(tmp_path)


def decide(labels, *acts):
    with open_journal(labels, sha256(labels), journal_path(labels)) as writer:
        return [writer.decide(each, 100 + each.position) for each in acts]


def test_accepted_and_edited_masks_are_right_and_others_are_not(labels):
    drawn = disc(20, 40, 9)
    decide(
        labels,
        act(0),
        act(1, "edited", segmentation=drawn, bbox=[11.0, 31, 18, 18]),
        act(2, "rejected"),
        act(3, "skipped"),
        act(4, "draft", segmentation=drawn),
    )
    review = read_review(labels)
    assert list(review.right()) == [0, 1]
    assert review.right()[0].segmentation is None
    assert review.right()[1].segmentation == drawn
    assert review.right()[1].bbox == [11.0, 31, 18, 18]
    assert {found.state for found in review.decisions.values()} == {*STATES} - {"undecided"}


def test_the_last_decision_counts_and_one_that_was_taken_back_does_not(labels):
    decide(labels, act(0), act(0, "rejected", base=1), act(1), act(1, "undecided", base=1))
    assert read_review(labels).right() == {}
    assert read_review(labels).decisions[0].version == 2


_LINES = [header_line(Path("masks.json"), "0" * 64, "2026-01-01T00:00:00+00:00")] + [
    decision_line(Decision(number, 1, "accepted", "2026-01-01T00:00:00+00:00", "ann", number + 1, str(number)), number)
    for number in range(3)
]


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(len(_LINES[0]), sum(map(len, _LINES))))
def test_a_journal_that_is_cut_anywhere_holds_all_complete_lines(cut, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "cut.review.jsonl"
    path.write_bytes(b"".join(_LINES)[:cut])
    journal = read_journal(path)
    whole = [number for number in range(3) if sum(map(len, _LINES[: number + 2])) <= cut]
    assert list(journal.decisions) == whole
    assert journal.size + journal.torn_bytes == cut


def test_a_last_line_of_the_right_length_with_other_bytes_does_not_count(tmp_path):
    path = tmp_path / "zeros.review.jsonl"
    path.write_bytes(b"".join(_LINES[:3]) + b"\0" * 80 + b"\n")
    assert list(read_journal(path).decisions) == [0, 1]


def test_a_damaged_line_in_the_middle_is_named(tmp_path):
    path = tmp_path / "m.review.jsonl"
    path.write_bytes(_LINES[0] + _LINES[1].replace(b"accepted", b"rejected") + _LINES[2])
    with pytest.raises(UserError, match="line 2 is damaged"):
        read_journal(path)


def test_decisions_on_another_file_are_refused(labels):
    decide(labels, act(0))
    labels.write_text(labels.read_text() + " ")
    with pytest.raises(UserError, match="holds decisions on another file than"):
        read_review(labels)


@pytest.mark.parametrize("content", [b"", b"hello\n", b'{"images": []}\n'])
def test_what_is_no_journal_is_said(tmp_path, content):
    path = tmp_path / "x.review.jsonl"
    path.write_bytes(content)
    with pytest.raises(UserError, match="is no journal of a review"):
        read_journal(path)


def test_without_a_journal_nothing_was_reviewed(labels):
    with pytest.raises(UserError, match="no mask was reviewed yet"):
        read_review(labels)
