"""Data sets and folders of `mal auto` on disks that are full or may not be written, and runs that were stopped."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from mal.masks.rle import mask_from_rle
from mal.sample.photos import write_photos
from tests.cli.small_runs import run_mal
from tests.small_disk import fill, small_disk

BOXES = 6


@pytest.fixture
def photos(tmp_path) -> Path:
    """A folder of two photos with a few boxes in each, and nothing else."""
    folder = tmp_path / "photos"
    paths = write_photos(folder)
    document = json.loads(paths.boxes.read_text())
    images = document["images"][2:5:2]
    boxes = [each for image in images for each in document["annotations"] if each["image_id"] == image["id"]][:BOXES]
    paths.boxes.write_text(json.dumps(document | {"images": images, "annotations": boxes}))
    for path in paths.images.iterdir():
        if path.name not in {image["file_name"] for image in images}:
            path.unlink()
    return folder


def auto(capfd, *options: str | Path):
    return run_mal(capfd, "auto", *options, "--minutes", "0")


def annotations(folder: Path) -> list[dict]:
    return json.loads((folder / "masks.json").read_text())["annotations"]


def test_a_data_set_that_may_not_be_written_is_labelled_elsewhere(photos, tmp_path, capfd):
    with small_disk(tmp_path / "disk", 4) as disk:
        shutil.copytree(photos, disk / "photos")
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        refused = auto(capfd, disk / "photos")
        done = auto(capfd, disk / "photos", "--out", tmp_path / "out")
    (line,) = refused.error_lines
    assert refused.exit_code == 1
    assert str(disk / "photos_masks") in line
    assert "--out" in line
    assert done.exit_code == 0
    assert len(annotations(tmp_path / "out")) == BOXES


def test_a_full_disk_is_named_and_the_same_command_goes_on(photos, tmp_path, capfd):
    with small_disk(tmp_path / "disk", 4) as disk:
        filler = fill(disk)
        full = auto(capfd, photos, "--out", disk / "out")
        filler.unlink()
        done = auto(capfd, photos, "--out", disk / "out")
        found = annotations(disk / "out")
    assert full.exit_code == 1
    (line,) = full.error_lines
    assert "No space left" in line
    assert done.exit_code == 0
    assert all(each["area"] for each in found)


def test_a_run_that_was_interrupted_while_it_labelled_ends_as_one_that_was_not(photos, tmp_path, capfd, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    command = [photos, "--out", tmp_path / "out"]
    with monkeypatch.context() as patch:
        patch.setattr("mal.labeling.job.finish_job", interrupted)
        assert auto(capfd, *command).exit_code == 130
    assert not (tmp_path / "out/masks.json").exists()
    with monkeypatch.context() as patch:  # what is labelled is not labelled again
        patch.setattr("mal.labeling.job.write_results", interrupted)
        assert auto(capfd, *command).exit_code == 0
    assert auto(capfd, photos, "--out", tmp_path / "whole").exit_code == 0
    assert annotations(tmp_path / "out") == annotations(tmp_path / "whole")


def test_pictures_that_are_all_missing_are_told_in_one_line(photos, tmp_path, capfd):
    (tmp_path / "empty").mkdir()
    outcome = auto(capfd, photos / "boxes.json", "--images", tmp_path / "empty")
    (line,) = outcome.error_lines
    assert outcome.exit_code == 1
    assert "none of the pictures" in line
    assert "--images" in line
    assert not (photos / "boxes_masks").exists()


def test_a_photo_that_viewers_turn_is_told_and_its_masks_are_on_the_pixels_of_its_boxes(photos, tmp_path, capfd):
    path = next((photos / "images").iterdir())
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    with Image.open(path) as photo:
        pixels = photo.convert("RGB")
    pixels.save(path, exif=exif, quality=95)
    outcome = auto(capfd, photos)
    assert outcome.exit_code == 0
    assert "--exif upright" in outcome.out
    document = json.loads((tmp_path / "photos_masks/masks.json").read_text())
    sizes = {image["id"]: (image["height"], image["width"]) for image in document["images"]}
    for each in document["annotations"]:
        assert mask_from_rle(each["segmentation"]).shape == sizes[each["image_id"]]
