"""Writing the journal: alone, on disk before it is confirmed, never over somebody else's decision."""

from __future__ import annotations

import errno
import multiprocessing
import os
import random
import sys
import time

import pytest

from mal.errors import UserError
from mal.files import sha256
from mal.review.journal import journal_path, read_journal
from mal.review.journal_writer import JournalWriter, LabelsChangedError, StaleVersionError, open_journal
from tests.review.reviewing import act, write_labels
from tests.small_disk import fill, small_disk


@pytest.fixture
def labels(tmp_path):
    return write_labels(tmp_path)


def opened(labels):
    return open_journal(labels, sha256(labels), journal_path(labels))


def test_a_second_process_is_refused_while_the_first_one_writes(labels):
    with opened(labels), pytest.raises(UserError, match="in use by another `mal review`"), opened(labels):
        pass
    with opened(labels):
        pass


def test_a_decision_on_an_old_version_is_refused_and_the_current_one_told(labels):
    with opened(labels) as writer:
        writer.decide(act(0, "rejected"), 100)
        with pytest.raises(StaleVersionError) as refused:
            writer.decide(act(0, "accepted"), 100)
        assert refused.value.current.state == "rejected"
        assert writer.journal.decisions[0].state == "rejected"


def test_an_operation_that_is_sent_twice_counts_once(labels):
    with opened(labels) as writer:
        first = writer.decide(act(0, operation="same"), 100)
        assert writer.decide(act(0, operation="same"), 100) == first
    assert read_journal(journal_path(labels)).decisions[0].version == 1


def test_half_a_line_is_cut_off_and_what_follows_is_whole(labels):
    with opened(labels) as writer:
        writer.decide(act(0), 100)
    with journal_path(labels).open("ab") as file:
        file.write(b'{"number":2,"time":"2026')
    with opened(labels) as writer:
        assert writer.cut_bytes == 24
        writer.decide(act(1), 101)
    assert list(read_journal(journal_path(labels)).decisions) == [0, 1]


@pytest.mark.parametrize("torn", [b"", b"{", b'{"format":"mal.rev', b'{"format":"mal.review","version":1,"la'])
def test_half_a_first_line_is_written_anew(labels, torn):
    journal_path(labels).write_bytes(torn)
    with opened(labels) as writer:
        writer.decide(act(0), 100)
    assert list(read_journal(journal_path(labels)).decisions) == [0]


def test_a_file_without_an_end_of_line_that_is_no_journal_is_left_alone(labels):
    journal_path(labels).write_bytes(b"my notes")
    with pytest.raises(UserError, match="is no journal"), opened(labels):
        pass
    assert journal_path(labels).read_bytes() == b"my notes"


def test_a_label_file_that_changes_stops_the_decisions_and_one_written_anew_alike_does_not(labels):
    content = labels.read_bytes()
    with opened(labels) as writer:
        writer.decide(act(0), 100)
        labels.write_bytes(content + b"\n")
        with pytest.raises(LabelsChangedError, match="was changed by another program since the review began"):
            writer.decide(act(1), 101)
        labels.unlink()
        with pytest.raises(LabelsChangedError, match="was removed"):
            writer.decide(act(1), 101)
        labels.write_bytes(content)
        writer.decide(act(1), 101)
    assert list(read_journal(journal_path(labels)).decisions) == [0, 1]


def test_a_full_disk_decides_nothing_and_leaves_no_half_line(labels, monkeypatch):
    with opened(labels) as writer:
        writer.decide(act(0), 100)
        size = journal_path(labels).stat().st_size
        write = os.write

        def full(file, text):
            if len(text) < 20:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return write(file, text[: len(text) // 2])

        with monkeypatch.context() as patched:
            patched.setattr(os, "write", full)
            with pytest.raises(OSError, match="No space left"):
                writer.decide(act(1), 101)
        assert journal_path(labels).stat().st_size == size
        assert 1 not in writer.journal.decisions
        writer.decide(act(1), 101)
    assert list(read_journal(journal_path(labels)).decisions) == [0, 1]


def test_a_file_system_that_is_full_takes_nothing_by_halves(tmp_path):
    with small_disk(tmp_path / "disk", 1) as folder:
        labels = write_labels(folder, images=1, of_each=1)
        with opened(labels) as writer:
            filler = fill(folder)
            with pytest.raises(OSError, match="No space left"):
                _decide_until_the_last_page_is_full(writer)
            base = writer.journal.version(0)
            assert read_journal(journal_path(labels)).torn_bytes == 0
            filler.unlink()
            assert writer.decide(act(0, base=base, operation="with room"), 100).version == base + 1
        assert len(read_journal(journal_path(labels)).operations) == base + 1


def _decide_until_the_last_page_is_full(writer):
    for base in range(1000):
        writer.decide(act(0, base=base), 100)


def _decide_for_ever(labels, confirm):
    with opened(labels) as writer:
        for number in range(len(writer.journal.operations), 10**9):
            position = number % 6
            writer.decide(act(position, base=writer.journal.version(position), operation=str(number)), 0)
            os.write(confirm, f"{number}\n".encode())


@pytest.mark.skipif(sys.platform == "win32", reason="processes are forked")
def test_after_kill_9_at_20_random_moments_the_journal_holds_all_that_was_confirmed(labels):
    moments = random.Random(1)
    confirmed: list[str] = []
    for _ in range(20):
        reading, writing = os.pipe()
        child = multiprocessing.get_context("fork").Process(target=_decide_for_ever, args=(labels, writing))
        child.start()
        os.close(writing)
        with os.fdopen(reading) as answers:
            confirmed += [answers.readline().strip()]
            time.sleep(moments.uniform(0, 0.02))
            child.kill()
            confirmed += answers.read().split()
        child.join()
    assert len(confirmed) > 40
    assert set(confirmed) <= set(read_journal(journal_path(labels)).operations)


def test_the_writer_continues_the_numbers_of_the_journal(labels):
    for number in (1, 2):
        with opened(labels) as writer:
            assert isinstance(writer, JournalWriter)
            assert writer.decide(act(number), 0).number == number
