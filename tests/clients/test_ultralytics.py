"""Ultralytics finds and trains on the YOLO data sets that we write, with every object where it was."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mal.cli import main
from mal.masks.rle import mask_from_rle
from mal.sample.photos import write_photos
from tests.clients.client import ask
from tests.clients.labels import CLASSES, TURNED, UPRIGHT, Labels

CLIENT = "ultralytics"
TASKS = {"yolo-seg": "segment", "yolo": "detect"}
BORDER = 2.0  # pixels; OpenCV draws the outline's own pixels too


def yolo_data_set(labels: Labels, out: Path, kind: str, *more: str) -> Path:
    """Write a data set with its pictures; returns its YAML file."""
    command = ["convert", labels.file, out, "--to", kind, "--images", labels.images, "--pictures", "copy", *more]
    assert main([str(part) for part in command]) == 0
    (yaml_file,) = out.glob("*.yaml")
    return yaml_file


def pictures_of(found: dict[str, Any]) -> dict[str, Any]:
    return found["train"] | found["val"]


@pytest.mark.parametrize("kind", TASKS)
def test_all_pictures_and_classes_are_found_from_any_folder(labels, tmp_path, monkeypatch, kind):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    for out, cwd in ((Path("near"), tmp_path / "work"), (tmp_path / "far", Path("/")), (Path("../up"), tmp_path)):
        yaml_file = yolo_data_set(labels, out, kind)
        for asked in {
            yaml_file.absolute(),
            Path("near", yaml_file.name) if cwd.name == "work" else yaml_file.absolute(),
        }:
            found = ask(CLIENT, "ultralytics_reads", asked, TASKS[kind], home=tmp_path, cwd=cwd)
            assert found["names"] == list(CLASSES)
            assert set(pictures_of(found)) == {*UPRIGHT, TURNED}


def test_every_mask_lies_where_it_was_in_turned_photos_too(labels, tmp_path):
    yaml_file = yolo_data_set(labels, tmp_path / "out", "yolo-seg")
    pictures = pictures_of(ask(CLIENT, "ultralytics_reads", yaml_file, "segment", home=tmp_path))
    for name in (*UPRIGHT, TURNED):
        for label, mask in labels.masks(name).items():
            theirs = np.array(pictures[name]["masks"][label])
            assert theirs.shape == mask.shape, name
            iou = (theirs & mask).sum() / (theirs | mask).sum()
            assert iou > 0.85, (name, label, iou)


def test_every_box_lies_where_it_was_in_turned_photos_too(labels, tmp_path):
    yaml_file = yolo_data_set(labels, tmp_path / "out", "yolo")
    pictures = pictures_of(ask(CLIENT, "ultralytics_reads", yaml_file, "detect", home=tmp_path))
    for name in (*UPRIGHT, TURNED):
        for label, mask in labels.masks(name).items():
            rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
            ends = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
            x, y, width, height = pictures[name]["boxes"][label]
            found = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
            assert found == pytest.approx(ends, abs=0.01), (name, label)


def test_a_share_of_the_pictures_is_kept_for_validation(labels, tmp_path):
    yaml_file = yolo_data_set(labels, tmp_path / "out", "yolo-seg", "--val-share", "0.5")
    found = ask(CLIENT, "ultralytics_reads", yaml_file, "segment", home=tmp_path)
    assert found["train"].keys() | found["val"].keys() == {*UPRIGHT, TURNED}
    assert not found["train"].keys() & found["val"].keys()


@pytest.mark.parametrize(("kind", "network"), [("yolo-seg", "yolo11n-seg.yaml")])
def test_an_epoch_of_training_runs(labels, tmp_path, kind, network):
    yaml_file = yolo_data_set(labels, tmp_path / "out", kind)
    figures = ask(CLIENT, "ultralytics_trains", yaml_file, network, home=tmp_path)
    assert all(np.isfinite(list(figures.values())))
    assert "metrics/mAP50(M)" in figures


@pytest.fixture(scope="module")
def labelled(tmp_path_factory) -> Path:
    """What ``mal auto`` makes of a YOLO data set of photos with the splits train and val."""
    folder = tmp_path_factory.mktemp("auto")
    photos = write_photos(folder / "photos")
    command = ["convert", photos.boxes, folder / "set", "--to", "yolo", "--images", photos.images, "--pictures", "copy"]
    assert main([*map(str, command), "--val-share", "0.4"]) == 0
    assert main(["auto", str(folder / "set" / "data.yaml"), "--minutes", "0"]) == 0
    return folder / "set_masks"


def test_the_masks_of_mal_auto_are_read_with_the_splits_of_the_boxes(labelled, tmp_path):
    found = ask(CLIENT, "ultralytics_reads", labelled / "yolo-seg" / "data.yaml", "segment", home=tmp_path)
    given = ask(CLIENT, "ultralytics_reads", labelled.with_name("set") / "data.yaml", "detect", home=tmp_path)
    assert found["names"] == given["names"]
    assert [set(found[split]) for split in ("train", "val")] == [set(given[split]) for split in ("train", "val")]
    assert found["val"]
    document = json.loads((labelled / "masks.json").read_text())
    names = {each["id"]: each["name"] for each in document["categories"]}
    for image in document["images"]:
        theirs = pictures_of(found)[Path(image["file_name"]).name]["masks"]
        ours = [each for each in document["annotations"] if each["image_id"] == image["id"]]
        counts = Counter(names[each["category_id"]] for each in ours)
        assert set(theirs) == set(counts)
        for each in ours:
            name = names[each["category_id"]]
            if counts[name] == 1:  # they are told apart by their class
                first, second = np.array(theirs[name]), mask_from_rle(each["segmentation"]).astype(bool)
                assert (first & second).sum() / (first | second).sum() > 0.8, (image["file_name"], name)


def test_a_network_trains_on_the_masks_of_mal_auto_as_they_are(labelled, tmp_path):
    figures = ask(CLIENT, "ultralytics_trains", labelled / "yolo-seg" / "data.yaml", "yolo11n-seg.yaml", home=tmp_path)
    assert all(np.isfinite(list(figures.values())))
