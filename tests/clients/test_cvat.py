"""CVAT's agent loads our functions, and gets the masks of the library."""

from __future__ import annotations

import json
import os
import sysconfig

import numpy as np
import pytest

from mal.labeler import MaskAutoLabeler
from mal.masks.rle import mask_from_rle, rle_from_segmentation
from tests.clients.client import ask
from tests.clients.test_label_studio_backend import checkpoint_in
from tests.serve.serving import HEIGHT, WIDTH, pixels, png
from tests.shared_data import REPOSITORY

BOXES = [[5, 5, 35, 40], [28, 10, 42, 39]]


@pytest.fixture
def found(tmp_path):
    (tmp_path / "a.png").write_bytes(png())
    document = {
        "images": [{"id": 1, "file_name": "a.png", "width": WIDTH, "height": HEIGHT}],
        "annotations": [
            {"id": number, "image_id": 1, "category_id": 7 - number, "bbox": box, "area": 1, "iscrowd": 0}
            for number, box in enumerate(BOXES)
        ],
        "categories": [{"id": 6, "name": "nut"}, {"id": 7, "name": "screw"}],
    }
    (tmp_path / "boxes.json").write_text(json.dumps(document))
    folders = os.pathsep.join([str(REPOSITORY / "src"), sysconfig.get_path("purelib")])
    paths = (checkpoint_in(tmp_path), tmp_path / "a.png", tmp_path / "boxes.json")
    return ask("cvat", "cvat_asks", folders, *paths, home=tmp_path)


def test_boxes_that_are_drawn_and_boxes_of_a_file_become_the_masks_of_the_library(found, tmp_path):
    labeler = MaskAutoLabeler.from_checkpoint(tmp_path / "small.pth", device="cpu")
    corners = [[x, y, x + width, y + height] for x, y, width, height in BOXES]
    alone = [labeler.label(pixels(), [box])[0] for box in corners]
    for shapes, mask in zip(found["drawn"], alone, strict=True):
        np.testing.assert_array_equal(shapes, [mask] if mask.any() else [])
    together = labeler.label(pixels(), corners)
    expected = [(1 - number, mask) for number, mask in enumerate(together) if mask.any()]
    assert found["labels"] == ["nut", "screw"]
    assert [label for label, _ in found["detected"]] == [label for label, _ in expected]
    np.testing.assert_array_equal([mask for _, mask in found["detected"]], [mask for _, mask in expected])
    for label, mask in expected:
        polygons = [points for which, points in found["polygons"] if which == label]
        np.testing.assert_array_equal(mask_from_rle(rle_from_segmentation(polygons, HEIGHT, WIDTH)), mask)
    assert found["other"] == 0
