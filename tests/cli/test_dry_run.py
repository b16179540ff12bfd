"""``mal train --dry-run``: what a person learns before a run, and that it leaves no trace."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.small_runs import SmallData, run_mal, small_data, write_spec

pytestmark = pytest.mark.slow


@pytest.fixture
def data(scenes, tmp_path) -> SmallData:
    """Photos with nine boxes to train on and six to validate on."""
    return small_data(tmp_path / "coco", scenes)


def content(folder: Path) -> dict[Path, tuple[int, int]]:
    stats = {path: path.stat() for path in folder.rglob("*")}
    return {path: (stat.st_size, stat.st_mtime_ns) for path, stat in stats.items()}


def rows(out: str) -> dict[str, list[str]]:
    """Cells of all tables by the first cell of their row."""
    lines = [[cell.strip() for cell in line.strip("│").split("│")] for line in out.splitlines() if "│" in line]
    return {first: others for first, *others in lines}


def test_a_dry_run_shows_counts_steps_room_and_time_and_writes_nothing(data, tmp_path, capfd):
    document = json.loads(data.boxes.read_text())
    document["annotations"][0]["iscrowd"] = 1
    document["annotations"][1]["category_id"] = 12345
    data.boxes.write_text(json.dumps(document))
    spec = write_spec(data, tmp_path / "results", train__keep_last_n=1, dataset__num_workers_per_gpu=1)
    before = content(tmp_path)
    outcome = run_mal(capfd, "train", "-e", spec, "--dry-run", "train.num_epochs=3")
    assert outcome.exit_code == 0, outcome.err
    assert content(tmp_path) == before
    assert "\x1b" not in outcome.out
    found = rows(outcome.out)
    assert found["starts"] == ["with random weights"]
    assert found["training"] == ["3", "9", "8", "1", "-", "-"]
    assert found["validation"] == ["2", "6", "6", "0", "6", "0"]
    assert '"categories" lacks category_id 12345 (1 boxes)' in outcome.out
    assert found["12345"] == ["1", "0", "0"]
    assert found["steps"] == ["2 an epoch, 6 in all"]
    assert found["learning rate"] == ["0.0004 (lr 0.0001 x batch 4 x 1)"]
    assert found["warm-up"] == ["2 steps"]
    assert found["the run"][0].startswith("up to 4 files")
    assert {"a step with reading", "an epoch", "a validation", "the whole run", "peak memory"} <= found.keys()
    assert "training can start" in outcome.out


def test_a_dry_run_says_where_a_run_goes_on_and_leaves_its_files_alone(data, tmp_path, capfd):
    spec = write_spec(data, tmp_path / "results", train__num_epochs=1)
    assert run_mal(capfd, "train", "-e", spec).exit_code == 0
    before = content(tmp_path)
    longer = run_mal(capfd, "train", "-e", spec, "--dry-run", "train.num_epochs=4").out
    assert f"resuming from {tmp_path}/results/train/mal_model_latest.pth" in longer
    assert rows(longer)["starts"] == ["goes on in epoch 2 of 4, step 3 of 12"]
    assert "what is left" in rows(longer)
    finished = run_mal(capfd, "train", "-e", spec, "--dry-run")
    assert finished.exit_code == 0
    assert "nothing to do: all 1 epochs are done" in finished.out
    other = run_mal(capfd, "train", "-e", spec, "--dry-run", "train.num_epochs=4", "model.mask_head_out_channel=16")
    assert other.exit_code == 1
    assert other.error_lines[0].startswith("mal: error: model.mask_head_out_channel: 16 now, 8 in the checkpoint")
    assert content(tmp_path) == before


@pytest.mark.parametrize("arguments", [["--dry-run"], []], ids=["dry", "real"])
def test_too_few_boxes_and_one_file_for_both_are_told_before_training(data, tmp_path, capfd, arguments):
    changes = {"train__num_epochs": 1, "train__batch_size": 16}
    spec = write_spec(data, tmp_path / "results", **changes, dataset__train_ann_path=str(data.truth))
    outcome = run_mal(capfd, "train", "-e", spec, *arguments)
    assert outcome.exit_code == 0, outcome.err
    assert "warned: 6 boxes to train on do not fill one step of 16" in outcome.out
    assert "dataset.train_ann_path and dataset.val_ann_path are one file" in outcome.out


def test_a_dry_run_of_a_run_that_cannot_start_is_one_line(data, tmp_path, capfd):
    spec = write_spec(data, tmp_path / "results")
    outcome = run_mal(capfd, "train", "-e", spec, "--dry-run", "dataset.min_obj_size=1e9")
    assert outcome.exit_code == 1
    (line,) = outcome.error_lines
    assert "all 9 boxes are left out for their size" in line
    assert not (tmp_path / "results/train").exists()


def test_a_damaged_photo_stops_a_dry_run_too(data, tmp_path, capfd):
    for photo in data.images.iterdir():
        photo.write_bytes(photo.read_bytes()[:500])
    outcome = run_mal(capfd, "train", "-e", write_spec(data, tmp_path / "results"), "--dry-run")
    assert outcome.exit_code == 1
    assert outcome.error_lines[0].startswith("mal: error: image ")


def test_only_training_has_a_dry_run(data, tmp_path, capfd):
    assert run_mal(capfd, "evaluate", "-e", write_spec(data, tmp_path / "results"), "--dry-run").exit_code == 2
