from __future__ import annotations

import pytest
from PIL import Image

from mal.errors import UserError
from mal.formats.csv_boxes import read_csv
from mal.formats.folders import ReadOptions
from mal.formats.tally import Tally


def read(folder, text, tally=None, **options):
    path = folder / "boxes.csv"
    path.write_text(text, encoding="utf-8")
    return read_csv(path, ReadOptions(**options), tally or Tally())[0]


@pytest.mark.parametrize(
    "text",
    [
        "image,xmin,ymin,xmax,ymax,class\na.png,1,2,11,22,nut\n",
        "Filename;X1;Y1;X2;Y2;Label\na.png;1;2;11;22;nut\n",
        "file_name\tx\ty\tw\th\tcategory\na.png\t1\t2\t10\t20\tnut\n",
        "\ufefffilename,width,height,class,xmin,ymin,xmax,ymax\r\na.png,200,100,nut,1,2,11,22\r\n",
        'image,x,y,width,height,label\n"a.png", 1, 2, 10, 20, nut\n',
    ],
)
def test_the_usual_headers_and_separators_are_understood(tmp_path, text):
    coco = read(tmp_path, text)
    (record,) = coco.annotations
    assert (record["bbox"], coco.categories) == ([1, 2, 10, 20], {1: "nut"})
    assert coco.document["images"][0]["file_name"] == "a.png"


def test_width_and_height_beside_edges_are_the_size_of_the_image(tmp_path):
    coco = read(tmp_path, "filename,width,height,class,xmin,ymin,xmax,ymax\na.png,200,100,nut,1,2,11,22\n")
    assert (coco.images[1].width, coco.images[1].height) == (200, 100)


def test_sizes_come_from_the_pictures_and_a_missing_one_is_named(tmp_path):
    Image.new("RGB", (40, 70)).save(tmp_path / "a.png")
    text = "image,xmin,ymin,xmax,ymax,class\na.png,1,2,11,22,nut\n"
    assert read(tmp_path, text, images=tmp_path).images[1].height == 70
    with pytest.raises(UserError, match=r"b\.png does not exist"):
        read(tmp_path, text.replace("a.png", "b.png"), images=tmp_path)


def test_ids_and_other_columns_are_kept_and_ids_used_twice_are_said(tmp_path):
    header = "id,image,xmin,ymin,xmax,ymax,class,by\n"
    tally = Tally()
    coco = read(tmp_path, header + "9,a.png,1,2,11,22,nut,me\n9,b.png,1,2,11,22,bolt,\n", tally)
    first, second = coco.annotations
    assert (first["id"], first["attributes"]) == (9, {"by": "me"})
    assert (second["id"], "attributes" in second) == (10, False)
    assert list(tally.changed.values()) == [["annotation 9"]]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("a.png,1,2,x,22,nut", "xmax is 'x', not a number"),
        ("a.png,1,2,1,22,nut", "no extent"),
        ("a.png,1,2,inf,22,nut", "not a number"),
        ("a.png,1,2,11,22,", "class is empty"),
        (",1,2,11,22,nut", "image is empty"),
    ],
)
def test_a_broken_line_is_named_and_can_be_left_out(tmp_path, line, words):
    text = f"image,xmin,ymin,xmax,ymax,class\na.png,1,2,11,22,nut\n{line}\n"
    with pytest.raises(UserError, match=rf"boxes\.csv, line 3: .*{words}"):
        read(tmp_path, text)
    tally = Tally(skip_broken=True)
    assert len(read(tmp_path, text, tally).annotations) == 1
    assert list(tally.left_out.values()) == [[f"{tmp_path}/boxes.csv, line 3"]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("image,xmin,ymin\na.png,1,2\n", "line 1: no column for box among image, xmin, ymin: "),
        ("image,xmin,ymin,xmax,ymax,class\na.png,1,2\n", "line 2: 3 cells, and the first line has 6"),
    ],
)
def test_a_table_of_something_else_is_refused(tmp_path, text, words):
    with pytest.raises(UserError, match=words):
        read(tmp_path, text)


KAGGLE_WHEAT = (
    'image_id,width,height,bbox,source\nab12,1024,1024,"[834.0, 222.0, 56.0, 36.0]",usask_1\nab13,1024,1024,,\n'
)
KAGGLE_CARS = "image,xmin,ymin,xmax,ymax\na.jpg,281.25,187.0,327.7,223.2\n"
KAGGLE_RSNA = "patientId,x,y,width,height,Target\n0004,,,,,0\n0005,264.0,152.0,213.0,379.0,1\n"
KAGGLE_CHEST = (
    "image_id,class_name,class_id,x_min,y_min,x_max,y_max\na,No finding,14,,,,\nb,Edema,3,691,1375,1653,1831\n"
)


@pytest.mark.parametrize(
    ("text", "images", "box"),
    [
        (KAGGLE_WHEAT, 2, [834, 222, 56, 36]),
        (KAGGLE_CARS, 1, [281.25, 187, 46.45, 36.2]),
        (KAGGLE_RSNA, 2, [264, 152, 213, 379]),
        (KAGGLE_CHEST, 2, [691, 1375, 962, 456]),
    ],
)
def test_tables_of_kaggle_are_understood_and_a_line_without_a_box_is_an_image_without_one(tmp_path, text, images, box):
    coco = read(tmp_path, text)
    assert (len(coco.images), [record["bbox"] for record in coco.annotations]) == (images, [box])


def test_a_table_without_classes_has_one_and_says_so(tmp_path):
    tally = Tally()
    assert read(tmp_path, KAGGLE_CARS, tally).categories == {1: "object"}
    assert list(tally.changed) == ['a table without a column for the class: all boxes get "object"']


OPEN_IMAGES = (
    "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded\n0001,xclick,/m/01,1,0.25,0.75,0.5,1,0\n"
)


def test_boxes_that_are_shares_of_the_image_are_told(tmp_path):
    with pytest.raises(
        UserError, match=r"boxes\.csv: all edges lie between 0 and 1: these look like shares of the image"
    ):
        read(tmp_path, OPEN_IMAGES)


def test_shares_of_the_image_are_read_where_that_is_said(tmp_path):
    Image.new("RGB", (40, 80)).save(tmp_path / "0001.jpg")
    coco = read(tmp_path, OPEN_IMAGES, images=tmp_path, normalized=True)
    assert coco.annotations[0]["bbox"] == [10, 40, 20, 40]
    assert (coco.images[1].file_name, coco.categories) == ("0001.jpg", {1: "/m/01"})
    with pytest.raises(UserError, match="the size of its image is not known: --images DIR"):
        read(tmp_path, OPEN_IMAGES, normalized=True)
    with pytest.raises(UserError, match=r"line 2: the box is no share of the image"):
        read(tmp_path, OPEN_IMAGES.replace("0.75", "7.5"), images=tmp_path, normalized=True)


def test_sizes_may_be_written_as_floats(tmp_path):
    coco = read(tmp_path, "image,width,height,class,xmin,ymin,xmax,ymax\na.png,200.0,100.0,nut,1,2,11,22\n")
    assert coco.images[1].height == 100
    with pytest.raises(UserError, match="line 2: width and height are not whole numbers of pixels"):
        read(tmp_path, "image,width,height,class,xmin,ymin,xmax,ymax\na.png,200.5,100.0,nut,1,2,11,22\n")


def test_a_binary_file_with_the_ending_of_a_table_is_named_for_what_it_is(tmp_path):
    (tmp_path / "boxes.csv").write_bytes(b"\x1f\x8b\x08\xff\xff")
    with pytest.raises(UserError, match="is a gzip file, not a table of boxes"):
        read_csv(tmp_path / "boxes.csv", ReadOptions(), Tally())
