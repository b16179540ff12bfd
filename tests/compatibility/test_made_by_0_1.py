"""What version 0.1 left on the disk is read, and half-finished work goes on to the end that it would have had.

The files may be old, but the machine is this one: another processor or another version of PyTorch rounds otherwise.
So masks, which take a probability only as above or below a threshold, must be the same bytes, and trained weights the
same to four digits. (Thresholds were chosen that no probability of the machine they were made on comes near to.)
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path

import pytest

from mal.cli import main
from mal.labeler import MaskAutoLabeler
from tests.compatibility.make_files import (
    FOLDER,
    INFERENCE,
    KEY,
    LABEL,
    LABEL_OPTIONS,
    SEALED,
    TRAIN,
    trained_figures,
)

MADE = Path(__file__).parent / "made_by_0_1"
EXPECTED = json.loads((MADE / "expected.json").read_text())


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """The folder of a user of that version, as the killed processes left it."""
    with tarfile.open(MADE / "unfinished.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    for record in tmp_path.rglob("run.json"):
        record.write_text(record.read_text().replace(FOLDER, str(tmp_path)))
    (tmp_path / "sealed.pth").write_bytes((MADE / "sealed.pth").read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_half_finished_run_of_mal_label_goes_on_to_the_same_bytes(folder, capsys):
    assert main([*LABEL.split(), *LABEL_OPTIONS.split()]) == 0
    assert "6 of 12 boxes are labelled already" in capsys.readouterr().out
    assert sha256(folder / "by_label.json") == EXPECTED["sha256"]["by_label"]


def test_a_half_finished_run_of_mal_inference_goes_on_to_the_same_bytes(folder, capsys):
    assert main(INFERENCE.split()) == 0
    assert "6 of 12 boxes are labelled already" in capsys.readouterr().out
    assert sha256(folder / "results/inference/masks.json") == EXPECTED["sha256"]["by_inference"]


def test_an_encrypted_checkpoint_labels_as_it_did(folder, monkeypatch):
    monkeypatch.setenv("MAL_ENCRYPTION_KEY", KEY)
    assert main(SEALED.split()) == 0
    assert sha256(folder / "by_sealed.json") == EXPECTED["sha256"]["by_sealed"]


def test_half_finished_training_goes_on_to_the_same_weights(folder, capsys):
    assert main(TRAIN.split()) == 0
    assert "resuming from" in capsys.readouterr().out
    trained = trained_figures(folder / "results/train/mal_model_latest.pth")
    assert trained.keys() == EXPECTED["trained"].keys()
    for name, figures in EXPECTED["trained"].items():
        assert trained[name] == pytest.approx(figures, rel=1e-4, abs=1e-5), name


def test_a_checkpoint_brings_its_settings(folder):
    labeler = MaskAutoLabeler.from_checkpoint("results/train/mal_model_latest.pth", device="cpu")
    assert labeler.crop.crop_size == 64
    assert labeler.thresholds == [0.9173]
    assert labeler.cleaning.min_part == 0.1
    assert (labeler.mode.graph_cut, labeler.mode.crf) == (False, None)
