"""A real Label Studio connects to `mal serve`, and gets the masks of its rectangles."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from mal.checkpoint.saved_spec import saved_spec
from mal.cli import main
from mal.formats.label_studio_rle import decode
from mal.labeler import MaskAutoLabeler
from mal.masks.rle import mask_from_rle
from mal.sample.generate import make_sample
from tests.clients.client import ask
from tests.small_networks import small_network, small_spec

TOKEN = "a token that is long enough"
CONFIG = """<View>
  <Image name="image" value="$image" zoom="true"/>
  <BrushLabels name="mask" toName="image">{labels}</BrushLabels>
  <RectangleLabels name="box" toName="image" smart="true">{labels}</RectangleLabels>
</View>"""
BANNED = "0.0.0.0/8,10.0.0.0/8,100.64.0.0/10,169.254.0.0/16,172.16.0.0/12,192.168.0.0/16,fc00::/7,fe80::/10"
ALONE = ("--batch-size", "1")  # then no mask depends on which boxes share a batch, not even in its last digits


def region(annotation: dict[str, Any], image: dict[str, Any], names: dict[int, str]) -> dict[str, Any]:
    x, y, width, height = annotation["bbox"]
    across, down = image["width"] / 100, image["height"] / 100
    value = {"x": x / across, "y": y / down, "width": width / across, "height": height / down, "rotation": 0}
    return {
        "id": str(annotation["id"]),
        "from_name": "box",
        "to_name": "image",
        "type": "rectanglelabels",
        "original_width": image["width"],
        "original_height": image["height"],
        "image_rotation": 0,
        "value": value | {"rectanglelabels": [names[annotation["category_id"]]]},
    }


def checkpoint_in(folder: Path) -> Path:
    """A tiny network whose masks are neither empty nor full, since its threshold is a median."""
    network = small_network()
    tensors = {f"{name}.{key}": value for name in ("student", "teacher") for key, value in network.state_dict().items()}
    path = folder / "small.pth"
    save_network(tensors, path)
    labeler = MaskAutoLabeler.from_checkpoint(path, device="cpu")
    (batch,) = labeler.crops(np.random.default_rng(0).integers(0, 255, (80, 80, 3), np.uint8), [[10, 10, 70, 70]])
    save_network(tensors, path, float(np.median(labeler.probabilities(batch)[batch.box_mask > 0])))
    return path


def save_network(tensors: dict[str, torch.Tensor], path: Path, threshold: float = 0.5) -> None:
    spec = small_spec(dataset={"crop_size": 64}, train={"mask_thres": [threshold]})
    torch.save({"state_dict": tensors, "hyper_parameters": saved_spec(spec, "patch")}, path)


@pytest.fixture
def sample(tmp_path) -> Path:
    folder = tmp_path / "sample"
    make_sample(folder, num_train_images=4, num_val_images=1, image_size=(160, 120))
    return folder


def test_rectangles_become_the_masks_of_mal_label_and_train_a_network(sample, tmp_path):
    boxes = json.loads((sample / "annotations/boxes_train.json").read_text())
    names = {category["id"]: category["name"] for category in boxes["categories"]}
    images = sample / "images/train"
    labels = "".join(f'<Label value="{name}"/>' for name in names.values())
    (tmp_path / "config.xml").write_text(CONFIG.format(labels=labels))
    regions = {image["file_name"]: [] for image in boxes["images"]}
    for annotation in boxes["annotations"]:
        (image,) = (image for image in boxes["images"] if image["id"] == annotation["image_id"])
        regions[image["file_name"]].append(region(annotation, image, names))
    upload, *local = (name for name, found in regions.items() if found)
    checkpoint = checkpoint_in(tmp_path)
    command = [sys.executable, "-m", "mal", "serve", "--checkpoint", checkpoint, "--images", sample, "--port", "0"]
    command += ["--runs", tmp_path / "rounds", "--train-spec", training_spec_in(tmp_path)]
    plan = {
        "banned": BANNED,
        "root": str(sample),
        "images": str(images),
        "config": str(tmp_path / "config.xml"),
        "tasks": [
            {"data": {"image": f"/data/local-files/?d=images/train/{name}"}, "annotations": [{"result": regions[name]}]}
            for name in local
        ],
        "upload": str(images / upload),
        "upload_regions": regions[upload],
        "drawn": regions[local[0]][0] | {"id": "new"},
        "command": list(map(str, [*command, *ALONE])),
        "env": {**os.environ, "MAL_SERVE_TOKEN": TOKEN},
        "token": TOKEN,
        "trains": True,
    }
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    found = ask("label-studio", "label_studio_asks", tmp_path / "plan.json", home=tmp_path)
    expected = masks_of_mal_label(boxes, images, checkpoint, tmp_path)
    assert found["refused"][0] == 400, "a token that is wrong"
    assert found["state"] == "CO"  # connected
    assert found["model_version"].startswith("mal-small-")
    by_image = {item["image"].rpartition("/")[2]: item["predictions"] for item in found["predictions"]}
    for name in local:
        check_masks(by_image[name], regions[name], expected, found["model_version"])
    (uploaded,) = (predictions for name, predictions in by_image.items() if name.endswith(upload))
    check_masks(uploaded, regions[upload], expected, found["model_version"])
    (trained,) = found["training"]["rounds"]
    assert (trained["state"], trained["boxes"]) == ("finished", sum(map(len, regions.values()))), trained
    assert (trained["is_better"] is not None, "held out" in trained["reason"]) == (True, True), trained
    versions = [found["model_version"], trained["version"]]
    assert found["training"]["versions"]["versions"] == (versions[::-1] if trained["is_better"] else versions)
    (drawn,) = found["drawn"]["data"]["result"]
    first = regions[local[0]][0]
    np.testing.assert_array_equal(decoded(drawn), expected[int(first["id"])])


def training_spec_in(folder: Path) -> Path:
    """An epoch for the tiny network, on every box."""
    spec = small_spec(
        dataset={"crop_size": 64, "min_obj_size": 1, "num_workers_per_gpu": 0},
        train={"num_epochs": 1, "batch_size": 4},
    )
    values = spec.model_dump(mode="json", exclude_unset=True)
    path = folder / "train.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def test_the_page_has_the_settings_that_the_test_uses(repository):
    assert f"USER_ADDITIONAL_BANNED_SUBNETS={BANNED}" in (repository / "docs/integrations.md").read_text()


def masks_of_mal_label(boxes, images, checkpoint, folder) -> dict[int, np.ndarray]:
    (folder / "boxes.json").write_text(json.dumps(boxes))
    command = ["label", "--ann", folder / "boxes.json", "--images", images, "--checkpoint", checkpoint]
    assert main([*map(str, command), "--out", str(folder / "masks.json"), *ALONE]) == 0
    labeled = json.loads((folder / "masks.json").read_text())
    return {record["id"]: mask_from_rle(record["segmentation"]) for record in labeled["annotations"]}


def check_masks(predictions, regions, expected, version) -> None:
    (prediction,) = predictions
    assert prediction["model_version"] == version
    masks = {found["id"]: decoded(found) for found in prediction["result"]}
    for given in regions:
        mask = expected[int(given["id"])]
        np.testing.assert_array_equal(masks.get(f"mal-{given['id']}", np.zeros_like(mask)), mask)
    assert any(mask.any() for mask in masks.values())


def decoded(region: dict[str, Any]) -> np.ndarray:
    return decode(region["value"]["rle"], region["original_height"], region["original_width"])
