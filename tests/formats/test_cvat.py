from __future__ import annotations

import json
import tempfile
import zipfile

import numpy as np
import pytest

from mal.coco.coco_file import read_open_coco
from mal.errors import UserError
from mal.formats import cvat_in
from mal.limits import UNPACKED_BYTES_IN_ANY_CASE
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


def bomb(path, size):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open(MEMBER, "w") as member:
        member.write(b'{"images":[],"categories":[],"annotations":[]')
        for _ in range(size // 2**20):
            member.write(b" " * 2**20)
        member.write(b"}")


def test_an_archive_out_of_proportion_is_refused_with_its_sizes_and_the_way_around(tmp_path):
    bomb(tmp_path / "bomb.zip", UNPACKED_BYTES_IN_ANY_CASE + 2**20)
    with pytest.raises(UserError, match=r"has 68,\d+,\d+ bytes, from \d+,\d+ in the archive.* unpack it yourself"):
        read_back(tmp_path / "bomb.zip")


def test_an_archive_is_unpacked_into_no_file_with_a_name(tmp_path, monkeypatch):
    written(coco_of(tmp_path, document(annotation(5, RING))), tmp_path / "out.zip", "cvat")
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    seen = []

    def read(path, descriptor):
        seen.append(list(folder.iterdir()))
        return read_open_coco(path, descriptor)

    monkeypatch.setattr(cvat_in, "read_open_coco", read)
    assert len(read_back(tmp_path / "out.zip")["annotations"]) == 1
    assert seen == [[]]


def test_an_archive_whose_size_is_a_lie_is_damaged(tmp_path):
    bomb(tmp_path / "a.zip", 2**20)
    content = (tmp_path / "a.zip").read_bytes()
    size = (2**20 + 46).to_bytes(4, "little")
    (tmp_path / "a.zip").write_bytes(content.replace(size, (100).to_bytes(4, "little")))
    with pytest.raises(UserError, match=r"a\.zip is damaged"):
        read_back(tmp_path / "a.zip")


def test_damaged_json_in_an_archive_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(MEMBER, '{"images": [')
    with pytest.raises(UserError, match=r"a\.zip is cut off or no JSON"):
        read_back(tmp_path / "a.zip")
