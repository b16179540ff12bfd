"""Every format gives back what was written into it: parts, holes, thin lines, ids, boxes, keys."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from pycocotools import mask as mask_utils

from mal.coco.coco_file import read_coco
from tests.formats.small_coco import (
    RING,
    annotation,
    coco_of,
    document,
    documents,
    read_back,
    with_rles,
    written,
)

WHOLE = [
    ("coco", "out.json", "masks"),
    ("coco", "out.json", "polygons"),
    ("cvat", "out.zip", "masks"),
    ("cvat", "out.zip", "polygons"),
    ("png", "out", "masks"),
    ("labelme", "out", "masks"),
    ("labelme", "out", "polygons"),
    ("label-studio", "out.json", "masks"),
    ("label-studio", "out.json", "polygons"),
]


@pytest.mark.parametrize(("name", "out", "shapes"), WHOLE)
@settings(max_examples=8)
@given(content=documents())
def test_masks_and_all_keys_of_records_come_back(name, out, shapes, content):
    with tempfile.TemporaryDirectory() as folder:
        coco = coco_of(Path(folder), content)
        tally = written(coco, Path(folder, out), name, shapes=shapes)
        again = read_back(Path(folder, out))
    assert with_rles(again) == content["annotations"]
    assert again["images"] == content["images"]
    assert (tally.images, tally.masks, tally.boxes) == (2, len(content["annotations"]), 0)
    assert not tally.left_out


@settings(max_examples=8)
@given(content=documents())
def test_masks_come_back_from_one_yolo_line_each(content):
    with tempfile.TemporaryDirectory() as folder:
        coco = coco_of(Path(folder), content)
        written(coco, Path(folder, "out"), "yolo-seg")
        again = read_back(Path(folder, "out"), images=Path(folder, "pictures"))
    before = [record["segmentation"] for record in content["annotations"]]
    assert [record["segmentation"] for record in with_rles(again)] == before
    assert [record["area"] for record in again["annotations"]] == [int(mask_utils.area(rle)) for rle in before]


@pytest.mark.parametrize(("name", "out", "shapes"), WHOLE)
def test_a_box_without_a_mask_comes_back(tmp_path, name, out, shapes):
    content = document(annotation(5, None), annotation(6, RING))
    tally = written(coco_of(tmp_path, content), tmp_path / out, name, shapes=shapes)
    again = with_rles(read_back(tmp_path / out))
    assert again[0] == content["annotations"][0] | ({"segmentation": []} if name == "cvat" else {})
    assert again[1] == content["annotations"][1]
    assert (tally.boxes, tally.masks) == (1, 1)


@pytest.mark.parametrize(("name", "out", "shapes"), WHOLE)
def test_a_group_keeps_its_mask_and_its_mark(tmp_path, name, out, shapes):
    content = document(annotation(5, RING, iscrowd=1))
    written(coco_of(tmp_path, content), tmp_path / out, name, shapes=shapes)
    assert read_back(tmp_path / out)["annotations"] == content["annotations"]


@pytest.mark.parametrize(("name", "out", "shapes"), [*WHOLE, ("yolo-seg", "out", "masks")])
def test_the_masks_of_real_photos_come_back_pixel_by_pixel(tmp_path, shared, name, out, shapes):
    photos = shared / "data" / "coco-mini"
    content = json.loads((photos / "annotations" / "instances_val.json").read_text())
    content["images"] = content["images"][:5]
    ids = {image["id"] for image in content["images"]}
    content["annotations"] = [record for record in content["annotations"] if record["image_id"] in ids]
    source = tmp_path / "source.json"
    source.write_text(json.dumps(content))
    tally = written(read_coco(source), tmp_path / out, name, shapes=shapes)
    again = with_rles(read_back(tmp_path / out, images=photos / "images" / "val" if name == "yolo-seg" else None))
    if name == "yolo-seg":
        groups = tally.left_out.get("YOLO has no groups (iscrowd)", [])
        assert len(again) + len(groups) == len(content["annotations"])
        kept = [record["segmentation"] for record in with_rles(content) if not record["iscrowd"]]
        key = str
        assert sorted((record["segmentation"] for record in again), key=key) == sorted(kept, key=key)
    else:
        by_id = {record["id"]: record for record in again}
        assert by_id == {record["id"]: record for record in with_rles(content)}
