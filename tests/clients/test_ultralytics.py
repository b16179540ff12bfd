"""Ultralytics finds and trains on the YOLO data sets that we write, with every object where it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mal.cli import main
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
