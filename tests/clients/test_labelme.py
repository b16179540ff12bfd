"""LabelMe opens the label files that we write, with every mask where it was."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mal.cli import main
from tests.clients.client import ask
from tests.clients.labels import TURNED, UPRIGHT


def drawn(shape: dict[str, Any], size: list[int]) -> np.ndarray:
    """A mask in its place, (H, W) bool; LabelMe's rectangle includes its last row and column."""
    (x0, y0), (x1, y1) = (map(int, point) for point in shape["points"])
    whole = np.zeros(size, dtype=bool)
    whole[y0 : y1 + 1, x0 : x1 + 1] = shape["mask"]
    return whole


@pytest.mark.parametrize("name", [UPRIGHT[0], TURNED])
def test_masks_lie_where_they_were_in_turned_photos_too(labels, tmp_path, name):
    out = tmp_path / "out"
    command = ["convert", labels.file, out, "--to", "labelme", "--images", labels.images, "--pictures", "copy"]
    assert main([str(part) for part in command]) == 0
    found = ask("labelme", "labelme_reads", (out / name).with_suffix(".json"), home=tmp_path)
    expected = labels.masks(name)
    assert found["size"] == list(expected["screw"].shape)
    masks = {shape["label"]: drawn(shape, found["size"]) for shape in found["shapes"]}
    assert masks.keys() == expected.keys()
    for label, mask in masks.items():
        assert np.array_equal(mask, expected[label]), label


def test_polygons_keep_their_corners(labels, tmp_path):
    out = tmp_path / "out"
    command = ["convert", labels.file, out, "--to", "labelme", "--images", labels.images, "--pictures", "copy"]
    assert main([*map(str, command), "--shapes", "polygons"]) == 0
    found = ask("labelme", "labelme_reads", (out / UPRIGHT[0]).with_suffix(".json"), home=tmp_path)
    (screw,) = (shape for shape in found["shapes"] if shape["label"] == "screw")
    assert screw["type"] == "polygon"
    assert {tuple(point) for point in screw["points"]} == {(10, 8), (50, 8), (50, 20), (30, 20), (30, 28), (10, 28)}
