"""Pictures that are damaged, huge, of 12 bits, or no pictures at all, in every command that reads them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from mal.checkpoint.saved_spec import saved_spec
from tests.cli.small_runs import MODEL, run_mal
from tests.data import jpegs
from tests.small_networks import small_network, small_spec

WIDTH, HEIGHT = 160, 120
BOXES = [[8.0, 20.0, 70.0, 65.0], [60.0, 10.0, 75.0, 88.0]]


def coco(name: str, size: tuple[int, int] = (WIDTH, HEIGHT)) -> dict:
    annotations = [
        {"id": n, "image_id": 1, "category_id": 1, "bbox": box, "iscrowd": 0} for n, box in enumerate(BOXES, start=1)
    ]
    image = {"id": 1, "file_name": name, "width": size[0], "height": size[1]}
    return {"images": [image], "annotations": annotations, "categories": [{"id": 1, "name": "nut"}]}


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """An empty folder of photos, their boxes in `boxes.json`, and a model."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "boxes.json").write_text(json.dumps(coco("photo.jpg")))
    network, spec = small_network(), small_spec(dataset={"crop_size": 64})
    tensors = {f"{who}.{name}": value for who in ("student", "teacher") for name, value in network.state_dict().items()}
    torch.save({"state_dict": tensors, "hyper_parameters": saved_spec(spec, "patch")}, tmp_path / "model.pth")
    return tmp_path


def label(capfd, *options: str):
    arguments = ("--checkpoint", "model.pth", "--device", "cpu", "--workers", "0", "--out", "masks.json", *options)
    return run_mal(capfd, "label", "--ann", "boxes.json", "--images", "photos", *arguments)


def check(capfd, *options: str):
    return run_mal(capfd, "check", "boxes.json", "photos", *options)


def test_a_sound_photo_is_good_and_all_its_boxes_are_labeled(folder, capfd):
    (folder / "photos/photo.jpg").write_bytes(jpegs.jpeg(quality=90))
    checked = check(capfd, "--deep")
    assert (checked.exit_code, checked.err) == (0, "")
    assert "good" in checked.out
    outcome = label(capfd)
    assert (outcome.exit_code, outcome.err) == (0, "")
    assert json.loads((folder / "masks_report.json").read_text())["counts"]["labelled"] == 2


def test_an_image_without_a_file_name_points_to_its_url(folder, capfd):
    content = coco("photo.jpg")
    content["images"][0] |= {"file_name": None, "coco_url": "http://images.example/photo.jpg"}
    (folder / "boxes.json").write_text(json.dumps(content))
    outcome = check(capfd)
    assert outcome.exit_code == 1
    assert "images.example/photo.jpg" in outcome.out


@pytest.mark.parametrize("damage", [jpegs.cut_with_end_mark, jpegs.with_random_sector])
def test_the_boxes_of_a_damaged_photo_fail_and_the_check_names_it(folder, capfd, damage):
    (folder / "photos/photo.jpg").write_bytes(damage(jpegs.jpeg(quality=90)))
    outcome = label(capfd)
    assert (outcome.exit_code, outcome.err) == (1, "")
    report = json.loads((folder / "masks_report.json").read_text())
    assert report["counts"]["failed"] == 2
    assert "photo.jpg is damaged" in report["records"][0]["reason"]
    outcome = check(capfd, "--deep")
    assert outcome.exit_code == 1
    assert "photo.jpg is damaged" in outcome.out


def test_training_stops_at_a_damaged_photo(folder, capfd):
    (folder / "photos/photo.jpg").write_bytes(jpegs.with_random_sector(jpegs.jpeg(quality=90)))
    spec = {
        "results_dir": "results",
        "model": MODEL,
        "dataset": {
            "train_ann_path": "boxes.json",
            "train_img_dir": "photos",
            "crop_size": 64,
            "num_workers_per_gpu": 0,
        },
        "train": {"num_epochs": 1, "batch_size": 2},
    }
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec))
    outcome = run_mal(capfd, "train", "-e", "spec.yaml")
    assert outcome.exit_code == 1
    assert "photo.jpg is damaged" in outcome.err


def test_a_photo_with_stray_bytes_is_labelled_without_a_line_of_the_library(folder, capfd):
    (folder / "photos/photo.jpg").write_bytes(jpegs.with_stray_bytes(jpegs.jpeg(quality=90)))
    outcome = label(capfd)
    assert (outcome.exit_code, outcome.err) == (0, "")
    assert check(capfd, "--deep").exit_code == 0


def test_a_huge_picture_is_labelled_once_the_limit_is_raised_and_the_run_goes_on(folder, capfd):
    (folder / "photos/photo.jpg").write_bytes(jpegs.jpeg(quality=90))
    outcome = label(capfd, "--max-megapixels", "0.01")
    assert outcome.exit_code == 1
    assert "160 x 120 pixels, 0.0192 megapixels, where the limit is 0.01 megapixels" in outcome.out
    assert "--max-megapixels (in a spec dataset.max_megapixels)" in outcome.out
    assert check(capfd, "--max-megapixels", "0.01").exit_code == 1
    assert label(capfd).exit_code == 0
    assert check(capfd, "--max-megapixels", "0.02").exit_code == 0


def test_a_limit_above_that_of_pillow_is_kept(folder, capfd, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", WIDTH * HEIGHT // 4)
    (folder / "photos/photo.jpg").write_bytes(jpegs.jpeg(quality=90))
    outcome = label(capfd)
    assert (outcome.exit_code, outcome.err) == (0, "")


def test_12_bits_in_16_are_told_and_labelled_in_full_where_that_is_asked_for(folder, capfd):
    gray = np.asarray(jpegs.photo_like().convert("L")).astype(np.uint16)
    Image.fromarray(gray * 16).save(folder / "photos/photo.jpg", "PNG")
    outcome = label(capfd)
    assert outcome.exit_code == 0
    assert (
        "1 of 1 pictures with 16 bits of grey that were looked at use less than a tenth of their range" in outcome.out
    )
    assert "is nearly black" in check(capfd).out
    outcome = label(capfd, "--overwrite", "--gray-range", "used")
    assert outcome.exit_code == 0
    assert "nearly black" not in outcome.out
    scaled = json.loads((folder / "masks.json").read_text())["annotations"]
    Image.fromarray(np.rint((gray - gray.min()) * (255 / np.ptp(gray))).astype(np.uint8)).save(
        folder / "photos/photo.jpg", "PNG"
    )
    assert label(capfd, "--overwrite").exit_code == 0
    assert json.loads((folder / "masks.json").read_text())["annotations"] == scaled


def test_one_photo_of_12_bits_is_warned_of(folder, capfd):
    Image.fromarray(np.full((HEIGHT, WIDTH), 4080, np.uint16)).save("photo.png")
    outcome = run_mal(capfd, "label", "--image", "photo.png", "--box", "8,20,70,65", "--checkpoint", "model.pth")
    assert "warning: photo.png uses less than a tenth of its 16 bits of grey" in outcome.out


def test_a_pipe_in_place_of_a_photo_fails_its_boxes_and_waits_for_nobody(folder, capfd):
    os.mkfifo(folder / "photos/photo.jpg")
    assert label(capfd).exit_code == 1
    outcome = check(capfd)
    assert outcome.exit_code == 1
    assert "a pipe: nothing is read" in " ".join(outcome.out.split())


def test_the_file_that_was_meant_is_offered(folder, capfd):
    (folder / "photos/Photo.JPG").write_bytes(jpegs.jpeg())
    outcome = label(capfd)
    assert outcome.exit_code == 1
    assert "photos/Photo.JPG is there" in outcome.out
    assert "photos/Photo.JPG is there" in check(capfd).out


def test_a_picture_one_pixel_high_is_labelled(folder, capfd):
    Image.new("RGB", (400, 1)).save(folder / "photos/photo.jpg", "PNG")
    document = coco("photo.jpg", (400, 1))
    for record in document["annotations"]:
        record["bbox"] = [20.0, 0.0, 100.0, 1.0]
    (folder / "boxes.json").write_text(json.dumps(document))
    assert check(capfd).exit_code == 0
    assert label(capfd).exit_code == 0


@pytest.mark.parametrize("name", ["AVIF", "BMP", "GIF", "PNG", "WEBP", "TIFF", "JPEG"])
def test_half_a_file_of_any_format_is_named_by_the_deep_check(folder, capfd, name):
    jpegs.photo_like().save(folder / "photos/photo.jpg", name)
    content = (folder / "photos/photo.jpg").read_bytes()
    (folder / "photos/photo.jpg").write_bytes(content[: len(content) // 2])
    outcome = check(capfd, "--deep")
    assert outcome.exit_code == 1
    assert "photo.jpg" in outcome.out
