"""What a person is told when a process that reads images dies or meets a damaged one, in each task."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from mal.data import label_dataset, train_dataset
from tests.cli.small_runs import SmallData, run_mal, small_data, status_lines, write_spec

pytestmark = pytest.mark.slow


@pytest.fixture
def data(scenes, tmp_path) -> SmallData:
    """Photos and files that a test may damage."""
    return small_data(tmp_path / "coco", scenes)


def first_photo(annotations: Path) -> str:
    return json.loads(annotations.read_text())["images"][0]["file_name"]


@pytest.fixture
def killed_at(monkeypatch):
    """Kills the process that begins to read a photo."""

    def kill_at(file_name: str) -> None:
        main = os.getpid()
        for module in (train_dataset, label_dataset):
            original = module.read_record_image

            def read(folder, record, original=original):
                if record.file_name == file_name and os.getpid() != main:
                    os.kill(os.getpid(), signal.SIGKILL)
                return original(folder, record)

            monkeypatch.setattr(module, "read_record_image", read)

    return kill_at


@pytest.fixture(scope="module")
def checkpoint(scenes, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    spec = write_spec(small_data(folder / "coco", scenes), folder / "results", train__num_epochs=1)
    from mal.cli import main

    assert main(["train", "-e", str(spec)]) == 0
    return folder / "results/train/mal_model_latest.pth"


def spec_with_workers(data: SmallData, results: Path, **changes: str) -> Path:
    return write_spec(data, results, dataset__num_workers_per_gpu=2, **changes)


def assert_named(outcome, status: Path, file_name: str, text: str) -> None:
    assert outcome.exit_code == 1
    (line,) = outcome.error_lines
    assert line.startswith("mal: error: image ")
    assert file_name in line
    assert text in line
    assert outcome.err.count("\n") == 1, outcome.err
    assert file_name in status_lines(status)[-1]["message"]


@pytest.mark.parametrize("part", ["boxes", "truth"])
def test_training_names_the_image_at_which_a_loader_process_was_killed(data, tmp_path, capfd, killed_at, part):
    file_name = first_photo(getattr(data, part))
    killed_at(file_name)
    outcome = run_mal(capfd, "train", "-e", spec_with_workers(data, tmp_path / "results"))
    assert_named(
        outcome, tmp_path / "results/train/status.json", file_name, "killed (SIGKILL), probably because memory"
    )


@pytest.mark.parametrize("task", ["evaluate", "inference"])
def test_the_other_tasks_name_it_too(data, checkpoint, tmp_path, capfd, killed_at, task):
    file_name = first_photo(data.truth)
    killed_at(file_name)
    spec = spec_with_workers(data, tmp_path / "results", **{f"{task}__checkpoint": str(checkpoint)})
    outcome = run_mal(capfd, task, "-e", spec)
    assert_named(
        outcome, tmp_path / f"results/{task}/status.json", file_name, "killed (SIGKILL), probably because memory"
    )


def test_a_damaged_training_image_is_the_one_line_of_its_reader(data, tmp_path, capfd):
    file_name = first_photo(data.boxes)
    (data.images / file_name).write_bytes((data.images / file_name).read_bytes()[:3000])
    outcome = run_mal(capfd, "train", "-e", spec_with_workers(data, tmp_path / "results"))
    assert_named(outcome, tmp_path / "results/train/status.json", file_name, "is damaged or cannot be decoded")


def test_inference_lists_the_boxes_of_a_damaged_image_and_labels_the_others(data, checkpoint, tmp_path, capfd):
    file_name = first_photo(data.truth)
    (data.images / file_name).write_bytes((data.images / file_name).read_bytes()[:3000])
    spec = spec_with_workers(data, tmp_path / "results", inference__checkpoint=str(checkpoint))
    outcome = run_mal(capfd, "inference", "-e", spec)
    assert outcome.exit_code == 1
    assert outcome.error_lines == []
    assert "3 labelled, 3 failed" in outcome.out
