"""FiftyOne applies our model to a data set with boxes."""

from __future__ import annotations

import json
import os
import sysconfig
from pathlib import Path

import numpy as np
import pytest

from mal.labeler import MaskAutoLabeler
from mal.starter.files import starter_path
from tests.clients.client import ask
from tests.clients.test_label_studio_backend import checkpoint_in
from tests.serve.serving import HEIGHT, WIDTH, pixels, png
from tests.shared_data import REPOSITORY

BOXES = [[5, 5, 40, 45], [28, 10, 70, 49]]  # x0, y0, x1, y1


def test_boxes_of_a_field_become_the_masks_of_the_library(tmp_path):
    (tmp_path / "a.png").write_bytes(png())
    shares = [[x0 / WIDTH, y0 / HEIGHT, (x1 - x0) / WIDTH, (y1 - y0) / HEIGHT] for x0, y0, x1, y1 in BOXES]
    folders = os.pathsep.join([str(REPOSITORY / "src"), sysconfig.get_path("purelib")])
    checkpoint = checkpoint_in(tmp_path)
    paths = (checkpoint, tmp_path / "a.png", json.dumps(shares))
    found = ask("fiftyone", "fiftyone_applies", folders, *paths, home=tmp_path)
    expected = MaskAutoLabeler.from_checkpoint(checkpoint, device="cpu").label_instances(pixels(), BOXES)
    wanted = [(number, mask) for number, mask in enumerate(expected) if mask is not None and mask.window.any()]
    assert found["empty"] == 0
    for name in ("masks", "again"):
        assert [item["box"] for item in found[name]] == [number for number, _ in wanted]
        for item, (number, mask) in zip(found[name], wanted, strict=True):
            assert (item["label"], item["confidence"]) == (f"class {number}", pytest.approx(mask.score))
            np.testing.assert_array_equal(placed(item), mask.full())


def test_the_source_of_the_model_zoo_loads_the_starter_and_other_checkpoints(tmp_path):
    (tmp_path / "a.png").write_bytes(png())
    shares = [[x0 / WIDTH, y0 / HEIGHT, (x1 - x0) / WIDTH, (y1 - y0) / HEIGHT] for x0, y0, x1, y1 in BOXES]
    folders = os.pathsep.join([str(REPOSITORY / "src"), sysconfig.get_path("purelib")])
    checkpoint = checkpoint_in(tmp_path)
    source = REPOSITORY / "src/mal/integrations/fiftyone_zoo"
    found = ask(
        "fiftyone",
        "fiftyone_zoo_loads",
        folders,
        source,
        checkpoint,
        tmp_path / "a.png",
        json.dumps(shares),
        home=tmp_path,
    )
    assert (found["listed"], Path(found["file"]).name) == (True, starter_path(trainable=False).name)
    for name, path in (("starter", starter_path(trainable=False)), ("own", checkpoint)):
        masks = MaskAutoLabeler.from_checkpoint(path, device="cpu").label(pixels(), BOXES)
        expected = [mask for mask in masks if mask.any()]
        np.testing.assert_array_equal([placed(item) for item in found[name]], expected)


def placed(item: dict) -> np.ndarray:
    """The mask in its place, (H, W) bool."""
    part = np.array(item["mask"])
    x, y = round(item["bounding_box"][0] * WIDTH), round(item["bounding_box"][1] * HEIGHT)
    whole = np.zeros((HEIGHT, WIDTH), dtype=bool)
    whole[y : y + part.shape[0], x : x + part.shape[1]] = part
    return whole
