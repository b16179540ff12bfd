"""A conversion of which nothing is left is an error that says why."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from mal.cli import main
from tests.formats.small_coco import annotation, document


def failed(capsys, *arguments):
    """What a failing ``mal convert`` says."""
    assert main(["convert", *map(str, arguments)]) == 1
    said = capsys.readouterr()
    assert "unexpected" not in said.err
    return said.out + said.err


def test_a_folder_annotations_without_xml_is_no_voc(tmp_path, capsys):
    (tmp_path / "in/Annotations").mkdir(parents=True)
    (tmp_path / "in/Annotations/1.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    assert "no VOC files" in failed(capsys, tmp_path / "in", tmp_path / "o.json")
    assert "no VOC files" in failed(capsys, tmp_path / "in", tmp_path / "o.json", "--from", "voc")
    (tmp_path / "in/obj.names").write_text("nut\n")
    assert "no VOC files" in failed(capsys, tmp_path / "in", tmp_path / "o.json")
    assert not (tmp_path / "o.json").exists()


def test_shapes_without_an_area_alone_are_an_error_that_counts_them(tmp_path, capsys):
    shape = {"label": "cat", "points": [[1, 2]], "shape_type": "point", "group_id": None}
    labelme = {"shapes": [shape] * 2, "imagePath": "a.png", "imageData": None, "imageWidth": 9, "imageHeight": 9}
    (tmp_path / "a.json").write_text(json.dumps(labelme))
    said = failed(capsys, tmp_path / "a.json", tmp_path / "o.json")
    assert "no box and no mask was read (left out, shapes of the type point have no area: 2 (" in said
    assert not (tmp_path / "o.json").exists()


def test_broken_records_alone_are_an_error_with_skip_broken_too(tmp_path, capsys):
    (tmp_path / "a.csv").write_text("image,xmin,ymin,xmax,ymax,class\na.png,1,2,1,22,nut\n")
    said = failed(capsys, tmp_path / "a.csv", tmp_path / "o.json", "--skip-broken")
    assert "has no extent" in said
    assert not (tmp_path / "o.json").exists()


def test_a_format_that_keeps_nothing_of_the_source_is_an_error(tmp_path, capsys):
    (tmp_path / "in.json").write_text(json.dumps(document(annotation(5, None))))
    said = failed(capsys, tmp_path / "in.json", tmp_path / "out", "--to", "yolo-seg")
    assert "no mask (--to yolo keeps the box): 1" in said
    assert "nothing of" in said


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("coco.json", {"images": [], "annotations": [], "categories": []}),
        ("tasks.json", []),
    ],
)
def test_a_source_without_an_image_is_an_error(tmp_path, capsys, name, content):
    (tmp_path / name).write_text(json.dumps(content))
    assert "no image" in failed(capsys, tmp_path / name, tmp_path / "o.json")


def test_images_that_have_no_shape_in_the_source_are_a_result(tmp_path):
    (tmp_path / "in.json").write_text(json.dumps(document()))
    assert main(["convert", str(tmp_path / "in.json"), str(tmp_path / "o.json")]) == 0
    assert len(json.loads((tmp_path / "o.json").read_text())["images"]) == 2


def test_labels_that_are_all_empty_are_a_result(tmp_path):
    (tmp_path / "in").mkdir()
    Image.new("RGB", (9, 9)).save(tmp_path / "in/a.png")
    (tmp_path / "in/a.txt").write_text("")
    (tmp_path / "in/classes.txt").write_text("nut\n")
    assert main(["convert", str(tmp_path / "in"), str(tmp_path / "o.json")]) == 0
