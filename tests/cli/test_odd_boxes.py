"""Boxes that are odd but honest are used, and boxes of another picture are named."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.cli.small_runs import SmallData, run_mal, status_lines, write_spec

WIDTH, HEIGHT = 400, 300
ODD_BOXES = {
    "photo.jpg": [
        [0, 0, WIDTH, HEIGHT],
        [-50, -50, 500, 400],
        [0, 100, WIDTH, 3],
        [100, 0, 3, HEIGHT],
        [397, 297, 3, 3],
        [10.2, 10.7, 5.1, 4.9],
    ],
    "black.png": [[0, 0, 64, 64], [10, 10, 20, 20]],
    "line.png": [[0, 0, WIDTH, 1]],
}


def write_boxes(folder: Path, pictures: dict[str, np.ndarray], boxes: dict[str, list[Any]]) -> SmallData:
    images = folder / "images"
    images.mkdir()
    document: dict[str, Any] = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "date"}]}
    for number, (name, pixels) in enumerate(pictures.items()):
        Image.fromarray(pixels).save(images / name)
        height, width = pixels.shape[:2]
        document["images"].append({"id": number, "file_name": name, "width": width, "height": height})
        for bbox in boxes[name]:
            record = {"id": len(document["annotations"]) + 1, "image_id": number, "category_id": 1, "bbox": bbox}
            document["annotations"].append({**record, "iscrowd": 0})
    file = folder / "boxes.json"
    file.write_text(json.dumps(document))
    return SmallData(folder, images, file, file)


def noise(width: int, height: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.slow
def test_training_on_odd_boxes_has_finite_losses_and_names_the_thin_one(tmp_path, capfd):
    pictures = {
        "photo.jpg": noise(WIDTH, HEIGHT),
        "black.png": np.zeros((64, 64, 3), np.uint8),
        "line.png": noise(WIDTH, 1),
    }
    data = write_boxes(tmp_path, pictures, ODD_BOXES)
    spec = write_spec(data, tmp_path / "results", dataset__min_obj_size=0, train__num_epochs=1, train__batch_size=2)
    settings = ["dataset.val_ann_path=null", "dataset.val_img_dir=null"]
    outcome = run_mal(capfd, "train", "-e", spec, *settings)
    assert outcome.exit_code == 0, outcome.err
    assert "8 of 9 boxes in 2 images to train on" in outcome.out
    assert "1 boxes are not trained on: they are at most 2 pixels wide or high" in outcome.out
    losses = [
        entry["metrics"]["train/loss"]
        for entry in status_lines(tmp_path / "results/train/status.json")
        if "train/loss" in entry.get("metrics", {})
    ]
    assert losses
    assert all(map(math.isfinite, losses))


def test_boxes_of_the_picture_before_it_was_halved_are_named(tmp_path, capfd):
    boxes = {"photo.jpg": [[20, 100, 130, 170], [200, 160, 100, 80], [420, 40, 130, 160], [40, 320, 100, 90]]}
    data = write_boxes(tmp_path, {"photo.jpg": noise(WIDTH, HEIGHT)}, boxes)
    outcome = run_mal(capfd, "check", data.boxes, data.images)
    assert outcome.exit_code == 1
    assert "2 labelled, 2 skipped" in outcome.out
    assert "3, 4" in outcome.out
    assert "lies outside" in outcome.out
