"""What a file or folder is, told by its content."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from mal.errors import UserError
from mal.formats.folders import ReadOptions
from mal.formats.recognize import input_format
from mal.formats.tally import Tally
from tests.formats.small_coco import document, read

RESULT = {"image_id": 1, "category_id": 1, "bbox": [5, 6, 25, 34], "score": 0.9}
CREATE_ML = {
    "image": "a.png",
    "annotations": [{"label": "cat", "coordinates": {"x": 1, "y": 1, "width": 2, "height": 2}}],
}
JSON_MIN = {"image": "/data/a.png", "id": 1, "label": [{"x": 1}], "annotator": 1}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([RESULT], "detector's results in COCO's form .* needs the COCO file of the images"),
        ([CREATE_ML], "CreateML"),
        ([JSON_MIN], "JSON_MIN, which is not read: export it as JSON"),
        ([{"name": "a.jpg", "labels": []}], "Scalabel"),
        ([{"hello": 1}], "records of a kind that is not known"),
        ({"a.png123": {"filename": "a.png", "regions": []}}, "VGG Image Annotator"),
        ({"items": [], "categories": {}, "info": {}}, "Datumaro"),
        ({"objects": [], "size": {"width": 1, "height": 1}}, "Supervisely"),
    ],
)
def test_json_that_is_not_read_is_named_for_what_it_is(tmp_path, content, words):
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=rf"a\.json is .*{words}"):
        input_format(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 3\n", "is a Git LFS pointer"),
        (b"\x1f\x8b\x08\0", "is a gzip file"),
        (b"<!DOCTYPE html><html></html>", "is a web page"),
        (b"", "is empty"),
    ],
)
def test_a_file_that_is_no_json_at_all_is_named_for_what_it_is(tmp_path, content, words):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(UserError, match=words):
        input_format(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (document(), "coco"),
        ({"version": "5", "imageData": "x" * 9000, "imagePath": "a.png", "shapes": []}, "labelme"),
        ([{"id": 1, "annotations": [{"result": []}], "data": {"image": "a.png"}}], "label-studio"),
        ({"id": 1, "annotations": [], "data": {"image": "a.png"}}, "label-studio"),
    ],
)
def test_json_is_told_by_its_keys_wherever_they_stand(tmp_path, content, name):
    (tmp_path / "a.json").write_text(json.dumps(content))
    assert input_format(tmp_path / "a.json") == name


def test_the_one_coco_file_of_a_folder_is_taken_with_the_pictures_beside_it(tmp_path):
    content = document()
    for image in content["images"]:
        image["file_name"] = image["file_name"].replace("/", "_")
        Image.new("RGB", (14, 11)).save(tmp_path / image["file_name"])
    (tmp_path / "_annotations.coco.json").write_text(json.dumps(content))
    assert input_format(tmp_path) == "coco"
    coco, images = read(tmp_path, "coco", ReadOptions(), Tally())
    assert (len(coco.images), images) == (2, tmp_path)


def test_several_coco_files_in_a_folder_are_asked_about(tmp_path):
    for part in ("train", "val"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "_annotations.coco.json").write_text(json.dumps(document()))
    with pytest.raises(UserError, match=r"2 COCO files are in it \(train/.*, val/.*give the \.json"):
        input_format(tmp_path)


def test_notes_beside_a_yolo_data_set_are_not_taken_for_annotations(tmp_path):
    (tmp_path / "labels").mkdir()
    (tmp_path / "notes.json").write_text(json.dumps({"categories": [], "info": {}}))
    assert input_format(tmp_path) == "yolo"
