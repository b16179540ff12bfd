from __future__ import annotations

import pytest
from PIL import Image

from mal.errors import UserError
from mal.formats.folders import ReadOptions
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
        (("<width>200", "<width>-5"), "no <size>"),
        (("<pose>Left</pose>", "<polygon><x1>1</x1></polygon>"), r"a\.xml, line 3: its polygon"),
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


def test_a_picture_named_without_its_ending_is_found_by_its_stem(tmp_path):
    (tmp_path / "im").mkdir()
    Image.new("RGB", (64, 48)).save(tmp_path / "im/a.jpg")
    coco, _ = read(file(tmp_path / "voc", name="a"), images=tmp_path / "im")
    assert (coco.images[1].file_name, coco.images[1].width) == ("a.jpg", 64)


def test_sizes_may_be_written_as_floats(tmp_path):
    coco, _ = read(file(tmp_path, size=SIZE.replace("200", "200.0")))
    assert coco.images[1].width == 200


@pytest.mark.parametrize("encoding", ["gb2312", "gbk", "big5", "shift_jis", "euc-kr", "utf-16", "windows-1252"])
def test_a_file_is_read_in_the_encoding_that_it_declares(tmp_path, encoding):
    path = file(tmp_path)
    name = (
        "é" if encoding == "windows-1252" else "車" if encoding in ("big5", "shift_jis", "euc-kr", "utf-16") else "车"
    )
    text = f"<?xml version='1.0' encoding='{encoding}'?>" + path.read_text().replace("nut", name)
    path.write_bytes(text.encode(encoding))
    assert read(path)[0].categories == {1: name}


def test_utf_8_that_declares_another_encoding_is_read_as_what_it_is(tmp_path):
    path = file(tmp_path)
    path.write_text("<?xml version='1.0' encoding='ascii'?>" + path.read_text().replace("nut", "車車車車車"))
    assert read(path)[0].categories == {1: "車車車車車"}


def test_an_encoding_that_nobody_knows_is_named(tmp_path):
    path = file(tmp_path)
    path.write_bytes(f"<?xml version='1.0' encoding='martian'?>{path.read_text()}".encode("latin-1") + b"\xff")
    with pytest.raises(UserError, match=r"a\.xml cannot be read in the encoding that it declares \(martian\)"):
        read(path)


def test_the_polygon_of_roboflow_is_the_mask(tmp_path):
    polygon = "<polygon><x1>5</x1><y1>6</y1><x2>30</x2><y2>6</y2><x3>30</x3><y3>40</y3></polygon>"
    coco, _ = read(file(tmp_path, objects=OBJECT.replace("<bndbox>", f"{polygon}<bndbox>")))
    (record,) = coco.annotations
    assert (record["bbox"], record["segmentation"]) == ([11, 21, 19, 39], [[5, 6, 30, 6, 30, 40]])
    assert record["area"] > 0


def test_a_turned_box_of_rolabelimg_is_a_mask_of_four_corners(tmp_path):
    turned = "<robndbox><cx>50</cx><cy>40</cy><w>20</w><h>10</h><angle>1.5707963</angle></robndbox>"
    coco, _ = read(file(tmp_path, objects=f"<object><name>nut</name>{turned}</object>"))
    assert coco.annotations[0]["bbox"] == pytest.approx([45, 30, 10, 20], abs=1e-3)


def test_attributes_of_cvat_are_kept_by_their_names_and_nested_words_too(tmp_path):
    more = (
        "<occluded>0</occluded><actions><jumping>1</jumping></actions>"
        "<attributes><attribute><name>rotation</name><value>0.0</value></attribute></attributes>"
    )
    coco, _ = read(file(tmp_path, objects=OBJECT.replace("<pose>Left</pose><difficult>1</difficult>", more)))
    assert coco.annotations[0]["attributes"] == {"rotation": "0.0", "occluded": "0", "actions.jumping": "1"}


def test_parts_of_an_object_are_counted(tmp_path):
    part = "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>"
    tally = Tally()
    coco, _ = read(file(tmp_path, objects=OBJECT.replace("<bndbox>", f"{part}{part}<bndbox>")), tally)
    assert len(coco.annotations) == 1
    assert tally.lost == {"parts of objects (head, hand ...)": 2}


def test_a_folder_without_xml_files_and_one_of_the_mit_tool_are_said_to_hold_no_voc_files(tmp_path):
    with pytest.raises(UserError, match="no VOC files in"):
        read(tmp_path)
    text = "<annotation><filename>a.png</filename><imagesize><nrows>7</nrows><ncols>9</ncols></imagesize></annotation>"
    (tmp_path / "Annotations/subset").mkdir(parents=True)
    (tmp_path / "Annotations/subset/a.xml").write_text(text)
    with pytest.raises(UserError, match=r"no VOC files in .*a\.xml is of the LabelMe web tool \(MIT\)"):
        read(tmp_path)
