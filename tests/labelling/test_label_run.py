from __future__ import annotations

import json
from pathlib import Path

import pytest

from mal.errors import UserError
from mal.labelling.label import Label
from mal.labelling.label_run import LabelRun, open_run
from mal.labelling.shards import Finding, ShardWriter
from mal.masks.rle import empty_rle

IDENTITY = {"the content of the checkpoint": "abc", "inference.batch_size": 4}


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "shards"


@pytest.fixture
def output(tmp_path) -> Path:
    return tmp_path / "masks.json"


def begun(folder: Path, output: Path, **options: object) -> LabelRun:
    """A run with a shard that one process has written."""
    run = open_run(folder, IDENTITY, output, **options)
    assert run is not None
    with ShardWriter(run.new_shard("0000")) as shard:
        shard.write([Finding(0, Label(empty_rle(4, 3)))])
    return run


def test_a_run_that_was_stopped_goes_on_with_its_shards_and_writes_to_new_ones(folder, output):
    first, second = begun(folder, output), begun(folder, output)
    assert [path.name for path in second.shards] == ["0001_0000.jsonl", "0002_0000.jsonl"]
    assert (first.attempt, second.attempt) == (1, 2)


def test_the_shard_of_resolved_labels_is_not_among_what_was_found(folder, output):
    run = begun(folder, output)
    run.resolved_shard.touch()
    assert [path.name for path in run.shards] == ["0001_0000.jsonl"]
    assert open_run(folder, IDENTITY, output).attempt == 2


def test_a_run_that_is_finished_leaves_nothing(folder, output):
    run = begun(folder, output)
    output.touch()
    run.finish()
    assert not folder.exists()


def test_a_finished_output_is_not_replaced_unless_asked_for(folder, output):
    output.write_text("masks")
    with pytest.raises(UserError, match=r"masks\.json exists already: replace it with --overwrite"):
        open_run(folder, IDENTITY, output)
    with pytest.raises(UserError, match="exists already"):
        open_run(folder, IDENTITY, output, restart=True)
    assert not folder.exists()
    assert open_run(folder, IDENTITY, output, overwrite=True).attempt == 1
    assert output.read_text() == "masks"


def test_the_output_of_a_run_with_failures_may_be_replaced_by_the_same_run(folder, output):
    begun(folder, output)
    output.touch()
    assert open_run(folder, IDENTITY, output).attempt == 2


def test_a_run_that_writes_elsewhere_now_does_not_replace_what_is_there(folder, output, tmp_path):
    begun(folder, output)
    other = tmp_path / "other.json"
    other.touch()
    with pytest.raises(UserError, match=r"other\.json exists already"):
        open_run(folder, IDENTITY, other)
    other.unlink()
    assert open_run(folder, IDENTITY, other).attempt == 2


def test_a_run_of_something_else_is_refused_with_what_changed(folder, output):
    begun(folder, output)
    changed = {"the content of the checkpoint": "def", "inference.batch_size": 8}
    expected = "the content of the checkpoint, inference.batch_size (it was 4, now it is 8) changed: .*--restart"
    with pytest.raises(UserError, match=expected.replace("(", r"\(").replace(")", r"\)")):
        open_run(folder, changed, output)
    with pytest.raises(UserError, match="--restart"):
        open_run(folder, changed, output, overwrite=True)
    assert open_run(folder, changed, output, restart=True).shards == []
    assert open_run(folder, changed, output) is not None


@pytest.mark.parametrize("findings", [None, [], [Finding(0, failed="its image is gone")]], ids=str)
def test_a_run_without_a_label_makes_way_for_another_one(findings, folder, output):
    run = open_run(folder, IDENTITY, output)
    if findings is not None:
        with ShardWriter(run.new_shard("0000")) as shard:
            shard.write(findings)
    other = open_run(folder, {"the content of the checkpoint": "def"}, output)
    assert (other.shards, other.attempt) == ([], 1)
    assert json.loads((folder / "run.json").read_text())["identity"] == {"the content of the checkpoint": "def"}


def test_a_batch_torn_by_a_kill_is_no_label(folder, output):
    run = begun(folder, output)
    (shard,) = run.shards
    shard.write_bytes(shard.read_bytes()[:-5])
    assert open_run(folder, {"another": 1}, output).shards == []


def test_a_finished_run_is_known_by_what_it_has_left_beside_its_output(folder, output):
    output.touch()
    assert open_run(folder, IDENTITY, output, is_finished=lambda: True) is None
    with pytest.raises(UserError, match="exists already"):
        open_run(folder, IDENTITY, output, is_finished=lambda: False)
    assert open_run(folder, IDENTITY, output, overwrite=True, is_finished=lambda: True).attempt == 1


def test_a_run_that_was_killed_between_its_output_and_its_end_is_ended(folder, output, monkeypatch):
    run = begun(folder, output)
    output.write_text("masks")
    monkeypatch.setattr("mal.labelling.label_run._remove", lambda folder: None)
    run.finish()
    monkeypatch.undo()
    assert folder.exists()
    assert open_run(folder, IDENTITY, output) is None
    assert not folder.exists()
    assert output.read_text() == "masks"


def test_shards_without_a_record_are_nobody_s(folder, output):
    run = begun(folder, output)
    (folder / "run.json").unlink()
    assert open_run(folder, IDENTITY, output).shards == []
    assert run.attempt == 1


def test_a_record_that_is_damaged_is_named(folder, output):
    begun(folder, output)
    (folder / "run.json").write_text("{")
    with pytest.raises(UserError, match=r"run\.json cannot be read"):
        open_run(folder, IDENTITY, output)


def test_files_of_others_in_the_folder_stay(folder, output):
    run = begun(folder, output)
    (folder / "notes.txt").touch()
    run.finish()
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


def test_the_record_says_what_the_run_is_of(folder, output):
    begun(folder, output)
    record = json.loads((folder / "run.json").read_text())
    assert record == {"output": str(output), "identity": IDENTITY}
