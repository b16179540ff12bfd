"""Labelling that goes on, that is refused, and that leaves alone what it should, as a person does it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from tests.cli.small_runs import Outcome, SmallData, run_mal, small_data, write_spec

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def checkpoint(scenes, tmp_path_factory) -> Path:
    """A model of one epoch."""
    from mal.cli import main

    folder = tmp_path_factory.mktemp("model")
    spec = write_spec(small_data(folder / "coco", scenes), folder / "results", train__num_epochs=1)
    assert main(["train", "-e", str(spec)]) == 0
    return folder / "results/train/mal_model_latest.pth"


@pytest.fixture
def data(scenes, tmp_path) -> SmallData:
    return small_data(tmp_path / "coco", scenes)


@pytest.fixture
def spec(data, checkpoint, tmp_path) -> Path:
    own = shutil.copy(checkpoint, tmp_path / "model.pth")
    return write_spec(data, tmp_path / "results", inference__checkpoint=str(own))


@pytest.fixture
def photo(data) -> Path:
    return data.images / json.loads(data.truth.read_text())["images"][0]["file_name"]


@pytest.fixture
def unfinished(spec, photo, capfd) -> Path:
    """A spec whose run lacks the boxes of a photo, which is there again."""
    photo.rename(photo.with_suffix(".away"))
    assert run_mal(capfd, "inference", "-e", spec).exit_code == 1
    photo.with_suffix(".away").rename(photo)
    return spec


def only_line(outcome: Outcome) -> str:
    assert outcome.exit_code == 1, outcome
    (line,) = outcome.error_lines
    return line


def inference(folder: Path) -> Path:
    return folder / "results/inference"


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "status.json")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_the_same_command_labels_what_failed_and_ends_with_the_file_of_a_run_without_a_failure(
    unfinished, capfd, tmp_path
):
    outcome = run_mal(capfd, "inference", "-e", unfinished)
    assert outcome.exit_code == 0
    assert "going on: 3 of 6 boxes are labelled already" in outcome.out
    mended = (inference(tmp_path) / "masks.json").read_bytes()
    assert not (inference(tmp_path) / "shards").exists()
    assert run_mal(capfd, "inference", "-e", unfinished, "--overwrite").exit_code == 0
    assert (inference(tmp_path) / "masks.json").read_bytes() == mended


def test_a_finished_file_is_replaced_only_when_asked_for_and_its_spec_stays_with_it(spec, capfd, tmp_path):
    assert run_mal(capfd, "inference", "-e", spec).exit_code == 0
    before = contents(inference(tmp_path))
    outcome = run_mal(capfd, "inference", "-e", spec, "train.mask_thres=[0.9]")
    assert "masks.json exists already: replace it with --overwrite" in only_line(outcome)
    assert before == contents(inference(tmp_path))
    assert run_mal(capfd, "inference", "-e", spec, "train.mask_thres=[0.9]", "--overwrite").exit_code == 0
    assert (inference(tmp_path) / "masks.json").read_bytes() != before["masks.json"]


def test_a_changed_spec_is_refused_and_named_and_may_begin_anew(unfinished, capfd, tmp_path):
    change = "inference.batch_size=2"
    line = only_line(run_mal(capfd, "inference", "-e", unfinished, change))
    assert "inference.batch_size (it was 4, now it is 2) changed" in line
    assert "--restart" in line
    outcome = run_mal(capfd, "inference", "-e", unfinished, change, "--restart")
    assert outcome.exit_code == 0
    assert "going on" not in outcome.out


def test_another_checkpoint_is_refused(unfinished, capfd, tmp_path):
    content = torch.load(tmp_path / "model.pth", weights_only=True)
    torch.save(content, tmp_path / "model.pth")
    line = only_line(run_mal(capfd, "inference", "-e", unfinished))
    assert "the content of the checkpoint changed" in line


def test_another_annotation_file_is_refused(unfinished, data, capfd):
    document = json.loads(data.truth.read_text())
    document["annotations"].pop()
    data.truth.write_text(json.dumps(document))
    assert "the content of the annotation file changed" in only_line(run_mal(capfd, "inference", "-e", unfinished))


def test_label_goes_on_refuses_and_keeps_masks_too(data, checkpoint, photo, capfd, tmp_path):
    out = tmp_path / "out/masks.json"
    command = ["label", "--ann", data.truth, "--images", data.images, "--checkpoint", checkpoint, "--out", out]
    photo.rename(photo.with_suffix(".away"))
    assert run_mal(capfd, *command).exit_code == 1
    assert (tmp_path / "out/masks_shards/run.json").exists()
    photo.with_suffix(".away").rename(photo)
    assert "train.mask_thres (it was [0.1], now it is [0.25])" in only_line(
        run_mal(capfd, *command, "--threshold", "0.25")
    )
    assert run_mal(capfd, *command).exit_code == 0
    assert not (tmp_path / "out/masks_shards").exists()
    assert "is complete: nothing is left to label" in run_mal(capfd, *command).out
    assert "--overwrite" in only_line(run_mal(capfd, *command, "--threshold", "0.25"))
    outcome = run_mal(capfd, *command, "--overwrite", "--keep-existing-masks")
    assert "6 annotations: 0 labelled, 6 kept" in outcome.out
    given, written = (json.loads(path.read_text())["annotations"] for path in (data.truth, out))
    assert given == written


def test_a_photo_s_masks_do_not_replace_a_file_by_accident(checkpoint, photo, capfd, tmp_path):
    out = tmp_path / "masks.json"
    out.write_text("a day's work")
    command = ["label", "--image", photo, "--box", "10,10,50,50", "--checkpoint", checkpoint, "--out", out]
    command += ["--overlay", tmp_path / "overlay.png"]
    assert "--overwrite" in only_line(run_mal(capfd, *command))
    assert out.read_text() == "a day's work"
    assert run_mal(capfd, *command, "--overwrite").exit_code == 0
