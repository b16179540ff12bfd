"""Datumaro reads the YOLO and COCO data sets that we write."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from mal.cli import main
from tests.clients.client import ask
from tests.clients.labels import CLASSES, UPRIGHT


def test_yolo_boxes_lie_where_they_were(labels, tmp_path):
    out = tmp_path / "out"
    command = ["convert", labels.file, out, "--to", "yolo", "--images", labels.images, "--pictures", "copy"]
    assert main([str(part) for part in command]) == 0
    found = ask("datumaro", "datumaro_reads", out, "yolo", home=tmp_path)
    assert found["names"] == list(CLASSES)
    for name in UPRIGHT:
        for label, mask in labels.masks(name).items():
            rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
            box = found["pictures"][Path(name).stem]["shapes"][label]
            assert box == pytest.approx([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], abs=0.01)


def test_a_coco_file_of_polygons_is_read_with_all_its_pictures(labels, tmp_path):
    out = tmp_path / "coco"
    (out / "annotations").mkdir(parents=True)
    shutil.copytree(labels.images, out / "images/train")
    written = out / "annotations/instances_train.json"
    assert main(["convert", str(labels.file), str(written), "--to", "coco", "--shapes", "polygons"]) == 0
    found = ask("datumaro", "datumaro_reads", out, "coco_instances", home=tmp_path)
    assert found["names"] == list(CLASSES)
    assert {item["subset"] for item in found["pictures"].values()} == {"train"}
    assert all(item["shapes"].keys() == set(CLASSES) for item in found["pictures"].values())
