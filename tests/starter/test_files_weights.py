"""The two files of the starter, and where they are used without a word."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mal import MaskAutoLabeler
from mal.cli import main
from mal.config.schema import ExperimentSpec
from mal.data.images import read_image
from mal.masks.postprocess import PostprocessOptions
from mal.masks.rle import mask_from_rle
from mal.starter.files import starter_path
from mal.training.initial_weights import resolve_initial_weights

CARD = Path(__file__).parents[2] / "docs" / "starter.md"
MOST_BYTES = 25 * 10**6


def ious(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return (first & second).sum((1, 2)) / np.maximum((first | second).sum((1, 2)), 1)


@pytest.fixture(scope="module")
def scene(scenes):
    """A picture with its boxes (N, 4) xyxy and true masks (N, H, W)."""
    document = json.loads((scenes / "annotations" / "instances_val.json").read_text())
    image = document["images"][0]
    annotations = [each for each in document["annotations"] if each["image_id"] == image["id"]]
    boxes = np.array([each["bbox"] for each in annotations])
    boxes[:, 2:] += boxes[:, :2]
    truth = np.stack([mask_from_rle(each["segmentation"]) for each in annotations]).astype(bool)
    return read_image(scenes / "images" / "val" / image["file_name"]), boxes, truth


def test_both_files_fit_into_a_wheel_and_are_those_of_the_card():
    paths = [starter_path(trainable=trainable) for trainable in (True, False)]
    assert sum(path.stat().st_size for path in paths) < MOST_BYTES
    card = CARD.read_text()
    assert all(hashlib.sha256(path.read_bytes()).hexdigest() in card for path in paths)


@pytest.mark.parametrize("trainable", [True, False])
def test_the_files_name_no_folder_of_the_machine_that_made_them(trainable):
    content = starter_path(trainable=trainable).read_bytes()
    assert not any(folder in content for folder in (b"/home/", b"/tmp/", b"site-packages"))


def test_checkpoint_and_export_give_the_same_masks_and_scores(scene):
    pixels, boxes, _ = scene
    checkpoint = MaskAutoLabeler.from_checkpoint(starter_path(trainable=True), device="cpu")
    first, second = (each.label_instances(pixels, boxes) for each in (checkpoint, MaskAutoLabeler()))
    assert ious(*(np.stack([mask.full() for mask in masks]) for masks in (first, second))).min() >= 0.99
    assert [mask.score for mask in second] == pytest.approx([mask.score for mask in first], abs=0.01)


def test_the_starter_draws_better_masks_than_an_ellipse_in_the_box(scene):
    pixels, boxes, truth = scene
    rows, columns = np.mgrid[: truth.shape[1], : truth.shape[2]] + 0.5
    x0, y0, x1, y1 = boxes.T[:, :, None, None]
    across, down = 2 * (columns - x0) / (x1 - x0) - 1, 2 * (rows - y0) / (y1 - y0) - 1
    ellipse = ious(across**2 + down**2 <= 1, truth)
    assert ious(MaskAutoLabeler().label(pixels, boxes), truth).mean() > ellipse.mean() + 0.05


def test_values_that_are_given_with_the_starter_go_before_its_own(scene):
    pixels, boxes, _ = scene
    own = MaskAutoLabeler()
    crop = replace(own.crop, margin_rate=[1.0, 1.0])
    changed = MaskAutoLabeler(
        crop=crop, thresholds=[0.9], mode=replace(own.mode, flip=not own.mode.flip), cleaning=PostprocessOptions(0.5)
    )
    assert changed.crop == crop
    assert changed.mode.flip != own.mode.flip
    assert changed.cleaning.min_part == 0.5
    assert changed.label(pixels, boxes).sum() < own.label(pixels, boxes).sum()
    assert MaskAutoLabeler(thresholds=[0.9]).crop == own.crop


def test_label_takes_the_starter_where_no_checkpoint_is_given_and_says_so(scenes, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the overlay is written here
    photo = next((scenes / "images" / "val").glob("*.jpg"))
    out = tmp_path / "masks.json"
    assert main(["label", "--image", str(photo), "--box", "40,30,60,60", "--out", str(out)]) == 0
    assert "the starter" in capsys.readouterr().err
    assert json.loads(out.read_text())["annotations"][0]["segmentation"]


def test_training_starts_from_the_starter_by_its_name(tmp_path):
    spec = ExperimentSpec(
        model={"arch": "timm/tf_efficientnet_lite0", "decoder": "fpn"}, train={"pretrained_model_path": "starter"}
    )
    start = resolve_initial_weights(spec, tmp_path)
    bias = MaskAutoLabeler.from_checkpoint(starter_path(trainable=True), device="cpu").teacher.fpn.state_dict()
    assert all((value == bias[name]).all() for name, value in start.student.fpn.state_dict().items())
