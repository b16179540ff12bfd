from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import pytest

from mal.auto.subsets import held_out_images
from mal.coco.coco_file import read_coco
from mal.errors import UserError
from mal.reading import AS_STORED
from mal.sample.generate import make_sample
from mal.serve.choice import _choice, choose_by_signals, hold_out
from mal.serve.fetch import StoppedEarly
from mal.serve.rounds import Candidate
from tests.auto.test_choose import BoxLabeler

STEADY, WAVERING = Path("steady.pth"), Path("wavering.pth")


def load(path: Path):
    return BoxLabeler(wavers=path == WAVERING), AS_STORED


def load_or_refuse(path: Path):
    if path == WAVERING:
        raise UserError(f"{path} is\ndamaged")
    return load(path)


def die(path: Path):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(autouse=True)
def of_equal_priority(monkeypatch):
    """Child processes get their share of a machine that runs other tests."""
    monkeypatch.setattr(os, "setpriority", lambda *_: None)


@pytest.fixture(scope="module")
def round_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("round")
    sample = make_sample(folder / "sample", num_train_images=8, num_val_images=1, image_size=(240, 180))
    shutil.copyfile(sample.boxes_train, folder / "boxes.json")
    shutil.copytree(sample.train_images, folder / "images")
    return folder


def candidate(folder: Path, *, start: Path, trained: Path) -> Candidate:
    return Candidate(trained, start, folder / "boxes.json", folder / "images")


def test_pictures_that_are_held_out_are_not_trained_on(round_folder):
    hold_out(round_folder)
    coco, trained = (read_coco(round_folder / name) for name in ("boxes.json", "training_boxes.json"))
    held_out = held_out_images(coco)
    assert held_out
    assert {image.id for image in trained.images.values()} == {image.id for image in coco.images.values()} - held_out
    assert len(trained.annotations) > 0
    documents = [json.loads((round_folder / name).read_text()) for name in ("boxes.json", "training_boxes.json")]
    assert documents[0]["categories"] == documents[1]["categories"]


@pytest.mark.parametrize(
    ("start", "trained", "network"), [(WAVERING, STEADY, "trained"), (STEADY, WAVERING, "starter")]
)
def test_the_network_is_chosen_as_by_mal_auto_on_boxes_that_were_held_out(round_folder, start, trained, network):
    found = _choice(load, candidate(round_folder, start=start, trained=trained))  # what the child process does
    coco = read_coco(round_folder / "boxes.json")
    held_out = held_out_images(coco)
    count = sum(coco.images.at(row).id in held_out for row in coco.table.image_rows.tolist())
    assert (found.network, f"{count} held-out boxes" in found.reason) == (network, True)


def test_a_choice_that_nobody_wants_ends_its_process(round_folder):
    with pytest.raises(StoppedEarly):
        choose_by_signals(load, candidate(round_folder, start=STEADY, trained=STEADY), lambda: False)


@pytest.mark.parametrize(
    ("loading", "said"), [(load_or_refuse, "wavering.pth is damaged"), (die, "ended with exit code -9")]
)
def test_a_comparison_that_is_not_possible_is_told_in_one_line(round_folder, loading, said):
    with pytest.raises(UserError, match=said) as told:
        choose_by_signals(loading, candidate(round_folder, start=STEADY, trained=WAVERING), lambda: True)
    assert "\n" not in str(told.value)
