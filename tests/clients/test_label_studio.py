"""Label Studio decodes our masks to the same pixels, and a server of it shows them with their pictures."""

from __future__ import annotations

import numpy as np

from mal.cli import main
from tests.clients.client import ask
from tests.clients.labels import CLASSES, TURNED, UPRIGHT


def test_masks_are_decoded_to_the_same_pixels(labels, tmp_path):
    out = tmp_path / "tasks.json"
    command = ["convert", labels.file, out, "--to", "label-studio", "--images", labels.images]
    assert main([str(part) for part in command]) == 0
    found = ask("label-studio-sdk", "label_studio_decodes", out, home=tmp_path)
    assert found.keys() == {*UPRIGHT, TURNED}
    for name, masks in found.items():
        expected = labels.masks(name)
        assert masks.keys() == expected.keys()
        for label, mask in masks.items():
            assert np.array_equal(mask, expected[label]), (name, label)


def test_a_server_shows_every_picture_with_its_masks_under_the_settings_of_the_page(labels, tmp_path):
    out = tmp_path / "tasks.json"
    command = ["convert", labels.file, out, "--to", "label-studio", "--images", labels.images]
    assert main([str(part) for part in command]) == 0
    settings = tmp_path / "tasks.label_config.xml"
    root = labels.images.parent
    found = ask("label-studio", "label_studio_serves", out, settings, root, labels.images, home=tmp_path)
    assert [(item["status"], item["regions"]) for item in found] == [(200, len(CLASSES))] * len(found)
    assert sorted(item["bytes"] for item in found) == sorted(path.stat().st_size for path in labels.images.iterdir())
