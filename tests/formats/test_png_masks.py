from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from mal.errors import UserError
from tests.formats.small_coco import HEIGHT, RING, WIDTH, annotation, coco_of, document, read_back, written


def pixels(path):
    return np.asarray(Image.open(path))


def test_an_instance_is_white_on_black_and_has_its_number_in_the_indexed_picture(tmp_path):
    other = np.zeros_like(RING)
    other[0, 0] = True
    written(coco_of(tmp_path, document(annotation(12, RING), annotation(13, other))), tmp_path / "out", "png")
    assert np.array_equal(pixels(tmp_path / "out/instances/a/12.png"), np.where(RING, 255, 0))
    assert np.array_equal(pixels(tmp_path / "out/indexed/a.png"), RING + 2 * other)
    assert pixels(tmp_path / "out/indexed/deep/b.c.png").max() == 0
    legend = json.loads((tmp_path / "out/legend.json").read_text())
    assert [(entry["value"], entry["record"]["id"]) for entry in legend["images"][0]["annotations"]] == [
        (1, 12),
        (2, 13),
    ]


def test_the_smaller_of_two_masks_is_seen_and_what_it_hides_is_said(tmp_path):
    dot = np.zeros_like(RING)
    dot[3, 4] = True
    tally = written(coco_of(tmp_path, document(annotation(1, dot), annotation(2, RING))), tmp_path / "out", "png")
    assert pixels(tmp_path / "out/indexed/a.png")[3, 4] == 1
    assert list(tally.changed.values()) == [["annotation 2 of a.png: 1"]]
    assert len(read_back(tmp_path / "out")["annotations"]) == 2


def test_more_than_255_instances_get_16_bits(tmp_path):
    records = [
        annotation(number, np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) == number % 150) for number in range(300)
    ]
    written(coco_of(tmp_path, document(*records)), tmp_path / "out", "png")
    indexed = Image.open(tmp_path / "out/indexed/a.png")
    assert indexed.mode.startswith("I;16")
    assert np.asarray(indexed).max() == 300
    assert [record["id"] for record in read_back(tmp_path / "out")["annotations"]] == list(range(300))


def test_a_mask_without_a_pixel_is_kept(tmp_path):
    content = document(annotation(5, np.zeros((HEIGHT, WIDTH), bool)))
    written(coco_of(tmp_path, content), tmp_path / "out", "png")
    assert read_back(tmp_path / "out")["annotations"] == content["annotations"]


@pytest.mark.parametrize("damage", ["missing", "size", "legend"])
def test_a_damaged_folder_is_named(tmp_path, damage):
    written(coco_of(tmp_path, document(annotation(5, RING))), tmp_path / "out", "png")
    picture, legend = tmp_path / "out/instances/a/5.png", tmp_path / "out/legend.json"
    if damage == "missing":
        picture.unlink()
    elif damage == "size":
        Image.new("L", (3, 4)).save(picture)
    else:
        legend.write_text('{"images": []}')
    with pytest.raises(UserError, match=r"legend\.json"):
        read_back(tmp_path / "out")
