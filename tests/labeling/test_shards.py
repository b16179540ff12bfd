from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mal.errors import UserError
from mal.labeling.shards import (
    OPEN_FILES,
    BoxResult,
    MaskLabel,
    ShardLabels,
    ShardWriter,
    parse_box_result,
    whole_batches,
)
from mal.masks.rle import rle_from_mask
from tests.small_disk import fill, small_disk

shares = st.none() | st.floats(0, 1)
masks = st.integers(0, 2**12 - 1).map(lambda bits: np.array([bits >> place & 1 for place in range(12)], bool))
labels = st.builds(MaskLabel, masks.map(lambda mask: rle_from_mask(mask.reshape(3, 4))), shares, shares)
results = st.builds(BoxResult, st.integers(0, 50), labels, warned=st.none() | st.text())
failures = st.builds(BoxResult, st.integers(0, 50), failed=st.text(min_size=1))
batches_of_findings = st.lists(st.lists(results | failures, min_size=1, max_size=3), max_size=4)


def write(path: Path, batches: list[list[BoxResult]]) -> Path:
    with ShardWriter(path) as shard:
        for batch in batches:
            shard.write(batch)
    return path


def read(path: Path) -> list[list[BoxResult]]:
    return [[parse_box_result(line) for _, line in batch] for batch in whole_batches(path)]


def label(value: int = 1) -> MaskLabel:
    return MaskLabel(rle_from_mask(np.eye(value, dtype=bool)))


@settings(max_examples=40, deadline=None)
@given(batches_of_findings)
def test_what_is_written_is_read(batches):
    with tempfile.TemporaryDirectory() as folder:
        assert read(write(Path(folder) / "shard", batches)) == batches


@settings(max_examples=40, deadline=None)
@given(batches_of_findings, st.data())
def test_a_shard_that_ends_anywhere_gives_the_batches_that_are_whole(batches, data):
    with tempfile.TemporaryDirectory() as folder:
        ends = [len(write(Path(folder) / f"{n}", batches[:n]).read_bytes()) for n in range(len(batches) + 1)]
        path = Path(folder) / str(len(batches))
        content = path.read_bytes()
        cut = data.draw(st.integers(0, len(content)))
        path.write_bytes(content[:cut])
        assert read(path) == batches[: max(n for n, end in enumerate(ends) if end <= cut)]


def test_a_damaged_batch_does_not_count_and_the_next_one_does(tmp_path):
    first, second, third = ([BoxResult(place, label(place + 1))] for place in range(3))
    path = write(tmp_path / "shard", [first, second, third])
    content = path.read_bytes()
    start = content.index(b'"annotation":1')
    path.write_bytes(content[:start] + bytes(len(b'"annotation":1')) + content[start + len(b'"annotation":1') :])
    assert read(path) == [first, third]


def test_a_shard_is_never_written_to_again(tmp_path):
    write(tmp_path / "shard", [])
    with pytest.raises(UserError, match="shard cannot be written"):
        ShardWriter(tmp_path / "shard")


def test_a_batch_can_be_read_before_the_shard_is_closed(tmp_path):
    with ShardWriter(tmp_path / "shard") as shard:
        shard.write([BoxResult(1, label())])
        assert read(tmp_path / "shard") == [[BoxResult(1, label())]]


def test_a_full_disk_is_told_in_one_line(tmp_path):
    with small_disk(tmp_path / "disk", megabytes=1) as folder, ShardWriter(folder / "shard") as shard:
        fill(folder)
        with pytest.raises(UserError, match="make room"):
            shard.write([BoxResult(1, failed="x" * 2_000_000)])


def test_labels_are_found_by_position(tmp_path):
    path = write(tmp_path / "shard", [[BoxResult(4, label(4)), BoxResult(2, label(2))], [BoxResult(0, label(1))]])
    with ShardLabels(np.ones(6, np.bool_), [path]) as found:
        assert dict(found) == {0: label(1), 2: label(2), 4: label(4)}
        assert list(found) == [0, 2, 4]
        assert found.done.tolist() == [True, False, True, False, True, False]
        assert 3 not in found
        with pytest.raises(KeyError):
            found[3]


def test_a_later_label_goes_before_an_earlier_one_and_any_label_before_a_failure(tmp_path):
    paths = [
        write(
            tmp_path / "1",
            [[BoxResult(0, label(1), warned="odd"), BoxResult(1, failed="gone"), BoxResult(2, label(1))]],
        ),
        write(tmp_path / "2", [[BoxResult(0, label(2)), BoxResult(1, label(2)), BoxResult(2, failed="gone")]]),
        write(tmp_path / "3", [[BoxResult(3, failed="first")], [BoxResult(3, failed="second")]]),
    ]
    with ShardLabels(np.ones(4, np.bool_), paths) as found:
        assert dict(found) == {0: label(2), 1: label(2), 2: label(1)}
        assert found.failed == {3: "second"}
        assert found.warned == {}


def test_more_shards_than_a_process_may_open_at_a_time_are_read(tmp_path):
    count = OPEN_FILES + 5
    paths = [write(tmp_path / f"{number}", [[BoxResult(number, label(1 + number % 7))]]) for number in range(count)]
    with ShardLabels(np.ones(count, np.bool_), paths) as found:
        for _ in range(2):
            assert all(found[number] == label(1 + number % 7) for number in range(count))
