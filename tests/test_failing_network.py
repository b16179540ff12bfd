"""A network whose logits are no numbers: its boxes have failed, and none has an empty mask."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from mal.console import console
from mal.data.label_dataset import CropSettings
from mal.data.loaders import AnnotatedImages
from mal.errors import UserError
from mal.labeler import MaskAutoLabeler
from mal.labeling.job import LabelJob, label_here, run_job
from mal.masks.rle import rle_from_mask
from mal.metrics.summary import ClassNumbers
from mal.models.prediction_mode import NO_NUMBER, MeanFieldSettings, PredictionMode
from mal.runtime.process_group import single_process
from mal.tasks.evaluate_pass import evaluate_boxes
from mal.tasks.label_photos import label_photos
from mal.tasks.photo import Photo
from tests.data.photos import photos
from tests.small_networks import small_network, small_spec

IMAGES = [2, 2]
BOXES = [[2, 3, 20, 30], [4, 4, 30, 20]]
MODES = {
    "student": PredictionMode(),
    "mixed": PredictionMode(network="mixed"),
    "flip": PredictionMode(flip=True),
    "crf": PredictionMode(crf=MeanFieldSettings()),
}


class FailingNetwork(torch.nn.Module):
    """One logit of each crop of a bright picture is no number."""

    def __init__(self, value: float = torch.nan) -> None:
        super().__init__()
        self.whole = small_network()
        self.value = value

    def forward(self, images, box_area):
        logits = self.whole(images, box_area)
        logits[images.flatten(1).mean(1) > 1.5, 0, 0, 0] = self.value
        return logits


def labeler(mode: PredictionMode = MODES["student"], value: float = torch.nan) -> MaskAutoLabeler:
    network = FailingNetwork(value)
    return MaskAutoLabeler(network, network, crop=CropSettings(32), thresholds=[0.5], mode=mode)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two pictures; the second is white, which the network fails at."""
    photos(tmp_path, IMAGES)
    Image.new("RGB", (60, 40), "white").save(tmp_path / "1.png")
    monkeypatch.setattr(console, "quiet", True)
    return tmp_path


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("mode", MODES)
def test_the_python_door_gives_no_mask_in_place_of_an_empty_one(mode, value):
    image = np.full((40, 60, 3), 255, np.uint8)
    assert labeler(MODES[mode], value).label_instances(image, BOXES) == [None, None]
    with pytest.raises(UserError, match=NO_NUMBER):
        labeler(MODES[mode], value).label(image, BOXES)


def test_other_boxes_get_their_masks():
    assert labeler().label(np.zeros((40, 60, 3), np.uint8), BOXES).shape == (2, 40, 60)


def test_labelling_a_file_counts_them_as_failed_and_the_exit_code_says_so(folder):
    job = LabelJob(
        source=AnnotatedImages(folder / "boxes.json", folder),
        output=folder / "masks.json",
        report=folder / "report.json",
        skipped=folder / "skipped.csv",
        shards=folder / "shards",
        identity=lambda: {},
        batch_size=4,
        num_workers=0,
    )
    assert run_job(job, single_process(), label_here(labeler, single_process())) == 1
    report = json.loads((folder / "report.json").read_text())
    assert (report["counts"]["labelled"], report["counts"]["failed"]) == (2, 2)
    assert {entry["reason"] for entry in report["records"] if entry["action"] == "failed"} == {NO_NUMBER}


def test_evaluation_counts_them_as_failed(folder):
    content = json.loads((folder / "boxes.json").read_text())
    for record in content["annotations"]:
        x, y, width, height = map(int, record["bbox"])
        mask = np.zeros((40, 60), bool)
        mask[y : y + height, x : x + width] = True
        record["segmentation"] = rle_from_mask(mask)
    (folder / "boxes.json").write_text(json.dumps(content))
    source = AnnotatedImages(folder / "boxes.json", folder)
    classes = ClassNumbers(source.coco, source.boxes_to_label)
    found = evaluate_boxes(
        source, labeler(), classes, single_process(), folder / "predictions", batch_size=4, num_workers=0
    )  # fmt: skip
    assert len(found.table) == 2
    assert [(box.position, reason) for box, reason in found.failures] == [(2, NO_NUMBER), (3, NO_NUMBER)]


def test_a_photo_of_the_command_line_says_so(folder, capsys):
    photo = Photo(folder / "1.png", ((2, 3, 18, 27), (900, 900, 5, 5)), folder / "overlay.png")
    spec = small_spec(inference={"checkpoint": str(folder / "m.pth")})
    assert label_photos([photo], spec, lambda: (labeler(), spec), out=folder / "out.json", overwrite=False) == 1
    marks = [record["mal"]["reason"] for record in json.loads((folder / "out.json").read_text())["annotations"]]
    assert marks == [f"no mask: {NO_NUMBER}", "lies outside the photo, no mask"]
