"""CVAT's own XML, "CVAT for images 1.1"."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest
from PIL import Image

from mal.errors import UserError
from mal.formats.folders import ReadOptions
from mal.formats.formats import read
from mal.formats.recognize import input_format
from mal.formats.tally import Tally
from mal.masks.rle import mask_from_rle

LABELS = "<meta><task><labels><label><name>cat</name></label><label><name>dog</name></label></labels></task></meta>"
BOX = '<box label="dog" occluded="1" xtl="1" ytl="2" xbr="4" ybr="6"><attribute name="fur">long</attribute></box>'


def file(folder, shapes, image='id="0" name="a.png" width="20" height="10"'):
    path = folder / "annotations.xml"
    path.write_text(f"<annotations>\n<version>1.1</version>{LABELS}\n<image {image}>\n{shapes}\n</image></annotations>")
    return path


def read_file(path, tally=None, **options):
    assert input_format(path) == ("cvat" if path.suffix == ".zip" else "cvat-xml")
    return read(path, input_format(path), ReadOptions(**options), tally or Tally())[0]


def test_boxes_keep_their_attributes_and_labels_their_order(tmp_path):
    coco = read_file(file(tmp_path, BOX))
    (record,) = coco.annotations
    assert (record["bbox"], coco.categories) == ([1, 2, 3, 4], {1: "cat", 2: "dog"})
    assert record["category_id"] == 2
    assert record["attributes"] == {"occluded": "1", "fur": "long"}
    assert coco.document["images"] == [{"file_name": "a.png", "width": 20, "height": 10, "id": 1}]


def test_polygons_of_a_group_are_one_annotation(tmp_path):
    polygon = '<polygon label="cat" group_id="{}" points="{}"/>'
    first, second = "1,1;5,1;5,5", "8,1;9,1;9,5;8,5"
    coco = read_file(file(tmp_path, polygon.format(1, first) + polygon.format(1, second) + polygon.format(0, first)))
    assert [len(record["segmentation"]) for record in coco.annotations] == [2, 1]
    assert coco.annotations[0]["bbox"] == [1, 1, 8, 4]


def test_a_mask_is_runs_of_a_window_that_begin_with_zeros(tmp_path):
    shape = '<mask label="cat" rle="1, 3, 2" left="4" top="5" width="3" height="2" z_order="0"/>'
    (record,) = read_file(file(tmp_path, shape)).annotations
    expected = np.zeros((10, 20), bool)
    expected[5, 5:7] = expected[6, 4] = True
    assert (mask_from_rle(record["segmentation"]) == expected).all()
    assert record["attributes"] == {"z_order": "0"}


def test_turned_boxes_and_ellipses_are_polygons(tmp_path):
    box = '<box label="cat" xtl="5" ytl="4" xbr="11" ybr="6" rotation="90"/>'
    ellipse = '<ellipse label="cat" cx="10" cy="5" rx="4" ry="2"/>'
    turned, round_one = read_file(file(tmp_path, box + ellipse)).annotations
    assert turned["bbox"] == pytest.approx([7, 2, 2, 6])
    assert turned["area"] == 12
    assert round_one["bbox"] == pytest.approx([6, 3, 8, 4])
    assert round_one["area"] == pytest.approx(3.14159 * 8, rel=0.15)


def test_shapes_without_area_are_left_out_and_a_missing_label_is_said(tmp_path):
    shapes = '<polyline label="" points="1.0,2;3,4"/><polygon label="" points="1,2;3,4;6,5"/><points points="1,2"/>'
    tally = Tally()
    coco = read_file(file(tmp_path, shapes), tally)
    assert coco.categories[coco.annotations[0]["category_id"]] == "object"
    assert {reason: len(names) for reason, names in tally.left_out.items()} == {
        "shapes of the type polyline have no area": 1,
        "shapes of the type points have no area": 1,
    }
    assert list(tally.changed) == ['a shape without a label gets the class "object"']


def test_the_archive_that_cvat_makes_is_read_as_it_is(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(file(tmp_path, BOX), "annotations.xml")
    assert len(read_file(tmp_path / "a.zip").annotations) == 1


def test_a_folder_with_the_file_in_it_will_do(tmp_path):
    file(tmp_path, BOX)
    assert len(read_file(tmp_path).annotations) == 1


def test_a_size_that_is_not_said_comes_from_the_picture(tmp_path):
    path = file(tmp_path, BOX, 'name="a.png"')
    with pytest.raises(UserError, match=r"line 3: the size of its image is not known: --images DIR"):
        read_file(path)
    Image.new("RGB", (30, 40)).save(tmp_path / "a.png")
    assert read_file(path, images=tmp_path).images[1].height == 40


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        (BOX.replace('xtl="1"', 'xtl="x"'), "line 4: xtl is 'x', not a number"),
        (BOX.replace('xbr="4"', 'xbr="1"'), "no extent"),
        ('<polygon label="cat" points="1;2"/>', "its points are not"),
        ('<mask label="cat" rle="1, 2" left="4" top="5" width="3" height="2"/>', "has 3 pixels, and its window 6"),
        ('<mask label="cat" rle="6" left="400" top="5" width="3" height="2"/>', "not lie inside"),
    ],
)
def test_a_broken_shape_is_named_with_its_line(tmp_path, shape, words):
    with pytest.raises(UserError, match=words):
        read_file(file(tmp_path, shape))


def test_xml_of_videos_and_of_other_tools_is_refused_by_name(tmp_path):
    path = tmp_path / "annotations.xml"
    path.write_text("<annotations><track id='0' label='cat'/></annotations>")
    with pytest.raises(UserError, match=r"is \"CVAT for video 1\.1\""):
        read_file(path)
