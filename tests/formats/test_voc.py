from __future__ import annotations

import pytest
from PIL import Image

from mal.errors import UserError
from mal.formats.options import ReadOptions
from mal.formats.tally import Tally
from mal.formats.voc import read_voc

OBJECT = """
  <object>
    <name>nut</name><pose>Left</pose><difficult>1</difficult>
    <bndbox><xmin>11</xmin><ymin>21</ymin><xmax>30</xmax><ymax>60</ymax></bndbox>
  </object>"""
SIZE = "<size><width>200</width><height>100</height><depth>3</depth></size>"


def file(folder, objects=OBJECT, size=SIZE, name="a.png"):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "a.xml"
    path.write_text(f"<annotation>\n  <filename>{name}</filename>{size}{objects}\n</annotation>")
    return path


def read(path, tally=None, **options):
    return read_voc(path, ReadOptions(**options), tally or Tally())


@pytest.mark.parametrize(("one_based", "box"), [(False, [11, 21, 19, 39]), (True, [10, 20, 20, 40])])
def test_boxes_are_read_by_either_way_of_counting(tmp_path, one_based, box):
    coco, images = read(file(tmp_path), one_based=one_based)
    (record,) = coco.annotations
    assert record["bbox"] == box
    assert record["attributes"] == {"pose": "Left", "difficult": "1"}
    assert coco.document["images"] == [{"file_name": "a.png", "width": 200, "height": 100, "id": 1}]
    assert (coco.categories, images) == ({1: "nut"}, None)


def test_a_whole_challenge_folder_is_read_with_the_sizes_of_its_pictures(tmp_path):
    file(tmp_path / "Annotations", size="", name="C:\\photos\\a.png")
    (tmp_path / "JPEGImages").mkdir()
    Image.new("RGB", (40, 70)).save(tmp_path / "JPEGImages" / "a.png")
    coco, images = read(tmp_path)
    assert coco.images[1].width == 40
    assert images == tmp_path / "JPEGImages"


def test_a_missing_picture_is_named(tmp_path):
    (tmp_path / "photos").mkdir()
    with pytest.raises(UserError, match=r"photos/a\.png does not exist"):
        read(file(tmp_path), images=tmp_path / "photos")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("<xmin>11", "<xmin>left"), r"a\.xml, line 3: <xmin> is 'left', not a number"),
        (("<xmax>30", "<xmax>5"), r"a\.xml, line 3: the box 11, 21, 5, 60 has no extent"),
        (("<name>nut", "<name>"), "no name"),
        (("</object>", ""), r"a\.xml, line 7: not valid XML: mismatched tag"),
        ((SIZE, ""), "no <size>"),
        (("<annotation>", "<!DOCTYPE x [<!ENTITY e 'e'>]><annotation>"), "DOCTYPE"),
    ],
)
def test_a_broken_file_is_named_with_its_line(tmp_path, change, words):
    path = file(tmp_path)
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(UserError, match=words):
        read(path)


def test_xml_of_something_else_is_refused(tmp_path):
    path = tmp_path / "a.xml"
    path.write_text("<svg/>")
    with pytest.raises(UserError, match="root is <svg>, not <annotation>"):
        read(path)


def test_broken_objects_can_be_left_out_and_are_named(tmp_path):
    path = file(tmp_path, objects=OBJECT + OBJECT.replace("<xmax>30", "<xmax>x"))
    tally = Tally(skip_broken=True)
    coco, _ = read(path, tally)
    assert len(coco.annotations) == 1
    assert list(tally.left_out.values()) == [[f"{path}, line 7"]]
