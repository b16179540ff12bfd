from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mal.config.schema import ExperimentSpec
from mal.errors import UserError
from mal.labeling.run import (
    RUN_KEY,
    LabelRun,
    changes,
    finished_run,
    is_finished,
    open_run,
    run_identity,
    spec_settings,
)
from mal.labeling.shards import BoxResult, MaskLabel, ShardWriter
from mal.masks.rle import empty_rle

FINISHED_IDENTITY = {"the content of the checkpoint": "abc", "min_score": None}


@pytest.fixture
def files(tmp_path):
    output, report = tmp_path / "masks.json", tmp_path / "report.json"
    output.write_text("masks")
    report.write_text(json.dumps({"counts": {}, RUN_KEY: finished_run(FINISHED_IDENTITY, output)}))
    return report, output


def test_a_finished_run_is_known_again(files):
    report, output = files
    assert is_finished(report, FINISHED_IDENTITY, output)


def test_another_identity_or_another_label_file_is_not_that_run(files):
    report, output = files
    assert not is_finished(report, FINISHED_IDENTITY | {"min_score": 0.5}, output)
    output.write_text("edited by hand")
    assert not is_finished(report, FINISHED_IDENTITY, output)
    output.unlink()
    assert not is_finished(report, FINISHED_IDENTITY, output)


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"run": 1}', '{"run": {"identity": 3}}'])
def test_a_report_that_is_missing_or_says_nothing_is_no_finished_run(content, files):
    report, output = files
    report.unlink()
    if content is not None:
        report.write_text(content)
    assert not is_finished(report, FINISHED_IDENTITY, output)


IDENTITY = {"the content of the checkpoint": "abc", "inference.batch_size": 4}


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "shards"


@pytest.fixture
def output(tmp_path) -> Path:
    return tmp_path / "masks.json"


def start_run(folder: Path, output: Path, **options: object) -> LabelRun:
    """A run with a shard that one process has written."""
    run = open_run(folder, IDENTITY, output, **options)
    assert run is not None
    with ShardWriter(run.new_shard("0000")) as shard:
        shard.write([BoxResult(0, MaskLabel(empty_rle(4, 3)))])
    return run


def test_a_run_that_was_stopped_goes_on_with_its_shards_and_writes_to_new_ones(folder, output):
    first, second = start_run(folder, output), start_run(folder, output)
    assert [path.name for path in second.shards] == ["0001_0000.jsonl", "0002_0000.jsonl"]
    assert (first.attempt, second.attempt) == (1, 2)


def test_the_shard_of_resolved_labels_is_not_among_what_was_found(folder, output):
    run = start_run(folder, output)
    run.resolved_shard.touch()
    assert [path.name for path in run.shards] == ["0001_0000.jsonl"]
    assert open_run(folder, IDENTITY, output).attempt == 2


def test_a_run_that_is_finished_leaves_nothing(folder, output):
    run = start_run(folder, output)
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
    start_run(folder, output)
    output.touch()
    assert open_run(folder, IDENTITY, output).attempt == 2


def test_a_run_that_writes_elsewhere_now_does_not_replace_what_is_there(folder, output, tmp_path):
    start_run(folder, output)
    other = tmp_path / "other.json"
    other.touch()
    with pytest.raises(UserError, match=r"other\.json exists already"):
        open_run(folder, IDENTITY, other)
    other.unlink()
    assert open_run(folder, IDENTITY, other).attempt == 2


def test_a_run_of_something_else_is_refused_with_what_changed(folder, output):
    start_run(folder, output)
    changed = {"the content of the checkpoint": "def", "inference.batch_size": 8}
    expected = "the content of the checkpoint, inference.batch_size (it was 4, now it is 8) changed: .*--restart"
    with pytest.raises(UserError, match=expected.replace("(", r"\(").replace(")", r"\)")):
        open_run(folder, changed, output)
    with pytest.raises(UserError, match="--restart"):
        open_run(folder, changed, output, overwrite=True)
    assert open_run(folder, changed, output, restart=True).shards == []
    assert open_run(folder, changed, output) is not None


@pytest.mark.parametrize("results", [None, [], [BoxResult(0, failed="its image is gone")]], ids=str)
def test_a_run_without_a_label_makes_way_for_another_one(results, folder, output):
    run = open_run(folder, IDENTITY, output)
    if results is not None:
        with ShardWriter(run.new_shard("0000")) as shard:
            shard.write(results)
    other = open_run(folder, {"the content of the checkpoint": "def"}, output)
    assert (other.shards, other.attempt) == ([], 1)
    assert json.loads((folder / "run.json").read_text())["identity"] == {"the content of the checkpoint": "def"}


def test_a_batch_torn_by_a_kill_is_no_label(folder, output):
    run = start_run(folder, output)
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
    run = start_run(folder, output)
    output.write_text("masks")
    monkeypatch.setattr("mal.labeling.run._remove", lambda folder: None)
    run.finish()
    monkeypatch.undo()
    assert folder.exists()
    assert open_run(folder, IDENTITY, output) is None
    assert not folder.exists()
    assert output.read_text() == "masks"


def test_shards_without_a_record_are_nobody_s(folder, output):
    run = start_run(folder, output)
    (folder / "run.json").unlink()
    assert open_run(folder, IDENTITY, output).shards == []
    assert run.attempt == 1


def test_a_record_that_is_damaged_is_named(folder, output):
    start_run(folder, output)
    (folder / "run.json").write_text("{")
    with pytest.raises(UserError, match=r"run\.json cannot be read"):
        open_run(folder, IDENTITY, output)


def test_files_of_others_in_the_folder_stay(folder, output):
    run = start_run(folder, output)
    (folder / "notes.txt").touch()
    run.finish()
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


def test_the_record_says_what_the_run_is_of(folder, output):
    start_run(folder, output)
    record = json.loads((folder / "run.json").read_text())
    assert record == {"output": str(output), "identity": IDENTITY}


def settings(**sections: dict[str, object]) -> dict[str, object]:
    return spec_settings(ExperimentSpec.model_validate(sections))


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [
        ("inference", "batch_size", 8),
        ("inference", "load_mask", True),
        ("inference", "use_flip_test", True),
        ("inference", "keep_existing_masks", True),
        ("inference", "profile", "fast"),
        ("dataset", "crop_size", 256),
        ("model", "mask_scale_ratio", 1.0),
        ("train", "mask_thres", [0.5]),
        ("train", "test_margin_rate", [0.5, 0.5]),
    ],
)
def test_a_field_that_changes_the_masks_is_named_with_both_values(section, name, value):
    before, now = settings(), settings(**{section: {name: value}})
    assert changes(before, now) == [f"{section}.{name} (it was {before[f'{section}.{name}']}, now it is {value})"]


@pytest.mark.parametrize(
    ("section", "values"),
    [
        ("inference", {"gpu_ids": [0, 1], "label_dump_path": "x.json", "ann_path": "y", "img_dir": "z"}),
        ("inference", {"num_nodes": 2, "results_dir": "/x", "checkpoint": "c"}),
        ("dataset", {"num_workers_per_gpu": 7, "train_ann_path": "x"}),
        ("train", {"lr": 1.0, "num_epochs": 100}),
        ("model", {"arch": "vit-deit-tiny/16", "num_blocks": 2}),  # the checkpoint's, whose content is compared
    ],
)
def test_who_does_the_work_and_where_does_not_matter(section, values):
    assert changes(settings(), settings(**{section: values})) == []


def identity(folder: Path, **content: bytes) -> dict[str, object]:
    for name in ("model.pth", "boxes.json"):
        (folder / name).write_bytes(content.get(name.partition(".")[0], b""))
    return run_identity(folder / "model.pth", folder / "boxes.json", folder, {})


@pytest.mark.parametrize(("name", "told"), [("model", "the checkpoint"), ("boxes", "the annotation file")])
def test_files_are_known_by_their_content(tmp_path, name, told):
    assert changes(identity(tmp_path), identity(tmp_path)) == []
    assert changes(identity(tmp_path), identity(tmp_path, **{name: b"x"})) == [f"the content of {told}"]


def test_masks_of_another_version_are_told(tmp_path, monkeypatch):
    before = identity(tmp_path)
    monkeypatch.setattr("mal.labeling.run.SAME_MASKS_SINCE", "1.3")
    assert changes(before, identity(tmp_path)) == ["the version that masks are made as by (it was 0.1, now it is 1.3)"]


@given(st.data())
def test_fields_that_an_earlier_version_did_not_know_count_as_their_defaults(data):
    now = settings()
    unknown = data.draw(st.sets(st.sampled_from(sorted(now))))
    before = {name: value for name, value in now.items() if name not in unknown}
    assert changes(before, now) == []
    changed = data.draw(st.sampled_from(sorted(now)))
    assert len(changes(before, {**now, changed: "another"})) == 1
