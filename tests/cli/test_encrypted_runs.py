"""Encrypted checkpoints everywhere a checkpoint is taken, and a password that is nowhere to be found."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mal.checkpoint.encryption import is_encrypted
from mal.errors import LockedFile
from mal.labeler import MaskAutoLabeler
from tests.cli.small_runs import Outcome, run_mal, run_mal_in_a_process, small_data, write_spec

pytestmark = pytest.mark.slow

KEY = "unguessable-Pa55word"


@pytest.fixture(scope="module")
def trained(scenes, tmp_path_factory) -> SimpleNamespace:
    """A run of one epoch with a key, as verbose as it can be."""
    folder = tmp_path_factory.mktemp("encrypted")
    data = small_data(folder / "coco", scenes)
    spec = write_spec(data, folder / "results", train__num_epochs=1)
    outcome = run_mal_in_a_process("train", "-e", spec, f"encryption_key={KEY}", env={"MAL_DEBUG": "1"})
    assert outcome.exit_code == 0, outcome.err
    results = folder / "results"
    return SimpleNamespace(
        data=data, spec=spec, results=results, outcome=outcome, checkpoint=results / "train/mal_model_latest.pth"
    )


@pytest.fixture
def key_set(monkeypatch) -> None:
    monkeypatch.setenv("MAL_ENCRYPTION_KEY", KEY)


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_key_is_in_no_file_of_a_run_and_in_none_of_its_words(trained):
    assert KEY not in trained.outcome.out + trained.outcome.err
    files = files_in(trained.results)
    assert {"spec.yaml", "status.json"} < files.keys()
    assert not [name for name, content in files.items() if KEY.encode() in content]


def test_no_weights_in_clear_are_left_by_a_run(trained):
    files = files_in(trained.results)
    assert {"mal_model_latest.pth", "model_epoch_000.pth"} < files.keys()
    for name, content in files.items():
        assert is_encrypted(io.BytesIO(content)) == name.endswith(".pth")
        assert b"student." not in content


def commands(trained, tmp_path: Path) -> dict[str, list[str | Path]]:
    """Everything that takes a checkpoint."""
    checkpoint, results = trained.checkpoint, f"results_dir={tmp_path / 'results'}"
    photo = trained.data.images / json.loads(trained.data.truth.read_text())["images"][0]["file_name"]
    return {
        "resume": ["train", "-e", trained.spec, results, f"train.resume_training_checkpoint_path={checkpoint}"],
        "pretrained": ["train", "-e", trained.spec, results, f"train.pretrained_model_path={checkpoint}"],
        "evaluate": ["evaluate", "-e", trained.spec, results],
        "inference": ["inference", "-e", trained.spec, results],
        "label": [
            *("label", "--image", photo, "--box", "5,5,60,60", "--checkpoint", checkpoint),
            *("--overlay", tmp_path / "o.png"),
        ],
        "info": ["checkpoint", "info", checkpoint],
        "convert": ["checkpoint", "convert", checkpoint, tmp_path / "out.pth"],
    }


NAMES = ["resume", "pretrained", "evaluate", "inference", "label", "info", "convert"]


def only_line(outcome: Outcome) -> str:
    assert outcome.exit_code == 1
    (line,) = outcome.error_lines
    return line


@pytest.mark.parametrize("name", NAMES)
def test_with_the_key_in_the_environment_every_command_takes_an_encrypted_checkpoint(
    trained, tmp_path, capfd, key_set, name
):
    outcome = run_mal(capfd, *commands(trained, tmp_path)[name])
    assert outcome.exit_code == 0, outcome.err
    written = {name: content for name, content in files_in(tmp_path).items() if name.endswith(".pth")}
    assert all(is_encrypted(io.BytesIO(content)) for content in written.values())
    assert bool(written) == (name in ("pretrained", "convert"))  # the resumed run has no epoch left


@pytest.mark.parametrize("name", NAMES)
def test_without_the_key_every_command_says_where_to_give_it(trained, tmp_path, capfd, name):
    line = only_line(run_mal(capfd, *commands(trained, tmp_path)[name]))
    assert "mal_model_latest.pth: encrypted; " in line
    assert "MAL_ENCRYPTION_KEY" in line


@pytest.mark.parametrize("name", NAMES)
def test_with_another_key_every_command_says_so_and_shows_none(trained, tmp_path, capfd, monkeypatch, name):
    monkeypatch.setenv("MAL_ENCRYPTION_KEY", "hunter2")
    outcome = run_mal(capfd, *commands(trained, tmp_path)[name])
    assert "encrypted with another encryption_key" in only_line(outcome)
    assert "hunter2" not in outcome.out + outcome.err


def test_the_key_of_the_spec_goes_before_that_of_the_environment(trained, tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("MAL_ENCRYPTION_KEY", "hunter2")
    command = commands(trained, tmp_path)["evaluate"]
    assert run_mal(capfd, *command, f"encryption_key={KEY}").exit_code == 0


def test_a_run_goes_on_by_itself_from_its_encrypted_latest(scenes, tmp_path, capfd, key_set):
    spec = write_spec(small_data(tmp_path / "coco", scenes), tmp_path / "results", train__num_epochs=1)
    assert run_mal(capfd, "train", "-e", spec).exit_code == 0
    outcome = run_mal(capfd, "train", "-e", spec, "train.num_epochs=2")
    assert outcome.exit_code == 0, outcome.err
    assert "resuming from" in outcome.out
    assert (tmp_path / "results/train/model_epoch_001.pth").exists()


def test_an_encrypted_file_says_that_it_is_one(trained, capfd, key_set):
    assert "MB, encrypted)" in run_mal(capfd, "checkpoint", "info", trained.checkpoint).out
    summary = json.loads(run_mal(capfd, "checkpoint", "info", trained.checkpoint, "--json").out)
    assert (summary["encrypted"], summary["checked_by"]) == (True, "aes-256-gcm")


def test_safetensors_of_an_encrypted_checkpoint_are_written_only_on_request(trained, tmp_path, capfd, key_set):
    target = tmp_path / "out.safetensors"
    command = ["checkpoint", "convert", trained.checkpoint, target]
    assert "--decrypt" in only_line(run_mal(capfd, *command))
    assert not target.exists()
    assert run_mal(capfd, *command, "--decrypt").exit_code == 0
    assert b"student." in target.read_bytes()


def test_a_checkpoint_can_be_written_in_clear_on_request(trained, tmp_path, capfd, key_set):
    target = tmp_path / "out.pth"
    assert run_mal(capfd, "checkpoint", "convert", trained.checkpoint, target, "--decrypt").exit_code == 0
    assert b"student." in target.read_bytes()


def test_an_onnx_file_of_an_encrypted_checkpoint_is_written_only_on_request(trained, tmp_path, capfd, key_set):
    pytest.importorskip("onnxruntime")
    command = ["export", "onnx", "--checkpoint", trained.checkpoint, "--out", tmp_path / "m.onnx"]
    assert "--decrypt" in only_line(run_mal(capfd, *command))
    assert not list(tmp_path.iterdir())


def test_the_library_takes_the_key_as_an_argument(trained):
    labeler = MaskAutoLabeler.from_checkpoint(trained.checkpoint, encryption_key=KEY, device="cpu")
    assert labeler.label(np.zeros((40, 40, 3), np.uint8), [[5, 5, 30, 30]]).shape == (1, 40, 40)
    with pytest.raises(LockedFile):
        MaskAutoLabeler.from_checkpoint(trained.checkpoint, encryption_key="another", device="cpu")
