from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest

from mal.errors import UserError
from tests.formats.small_coco import HEIGHT, RING, WIDTH, annotation, coco_of, document, read_back, written

MEMBER = "annotations/instances_default.json"


def archived(path):
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read(MEMBER)), archive.namelist()


def test_every_record_has_what_the_import_asks_for(tmp_path):
    bare = {key: value for key, value in annotation(5, None).items() if key != "iscrowd"}
    written(coco_of(tmp_path, document(bare, annotation(6, RING))), tmp_path / "out.zip", "cvat")
    content, names = archived(tmp_path / "out.zip")
    assert names == [MEMBER]
    for record in content["annotations"]:
        assert {"id", "image_id", "category_id", "bbox", "segmentation", "iscrowd"} <= set(record)
    assert [type(record["segmentation"]) for record in content["annotations"]] == [list, dict]


def test_ids_that_cvat_does_not_take_are_replaced_and_said(tmp_path):
    records = [annotation(0, RING, "seven", category_id=0), annotation(9, RING, "seven"), annotation(9, RING, 4)]
    content = document(*records)
    content["images"][0]["id"] = "seven"
    content["categories"][0]["id"] = 0
    tally = written(coco_of(tmp_path, content), tmp_path / "out.zip", "cvat")
    result, _ = archived(tmp_path / "out.zip")
    assert [record["id"] for record in result["annotations"]] == [10, 9, 11]
    assert [record["image_id"] for record in result["annotations"]] == [5, 5, 4]
    assert [record["category_id"] for record in result["annotations"]] == [4, 3, 3]
    assert [image["id"] for image in result["images"]] == [5, 4]
    assert result["categories"] == [{"id": 4, "name": "bolt", "supercategory": "y"}, {"id": 3, "name": "nut & co"}]
    assert result["annotations"][0]["attributes"] == {"id": 0}
    assert {reason: len(names) for reason, names in tally.changed.items()} == {
        "the image id does not fit CVAT": 1,
        "the category id does not fit CVAT": 1,
        "the annotation id does not fit CVAT": 2,
    }


def test_an_empty_mask_becomes_its_box_which_cvat_shows(tmp_path):
    empty = annotation(5, np.zeros((HEIGHT, WIDTH), bool))
    tally = written(coco_of(tmp_path, document(empty)), tmp_path / "out.zip", "cvat")
    (record,) = read_back(tmp_path / "out.zip")["annotations"]
    assert (record["segmentation"], record["bbox"]) == ([], empty["bbox"])
    assert tally.changed["an empty mask is shown as its box"] == ["annotation 5"]


def test_pictures_come_along_when_asked_for(tmp_path):
    coco = coco_of(tmp_path, document(annotation(5, RING)))
    written(coco, tmp_path / "out.zip", "cvat", pictures="copy", images=tmp_path / "pictures")
    assert archived(tmp_path / "out.zip")[1] == [MEMBER, "images/default/a.png", "images/default/deep/b.c.png"]


def test_a_missing_picture_leaves_no_archive(tmp_path):
    coco = coco_of(tmp_path, document(annotation(5, RING)))
    (tmp_path / "pictures" / "a.png").unlink()
    with pytest.raises(UserError, match=r"a\.png does not exist"):
        written(coco, tmp_path / "out.zip", "cvat", pictures="copy", images=tmp_path / "pictures")
    assert not (tmp_path / "out.zip").exists()


def test_archives_of_something_else_are_refused(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"PK no")
    with pytest.raises(UserError, match="damaged or no zip"):
        read_back(tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("photos/a.json", "{}")
    with pytest.raises(UserError, match="this one has none"):
        read_back(tmp_path / "b.zip")
