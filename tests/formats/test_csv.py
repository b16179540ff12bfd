from __future__ import annotations

import pytest
from PIL import Image

from mal.errors import UserError
from mal.formats.csv_boxes import read_csv
from mal.formats.options import ReadOptions
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
        ("image,xmin,ymin\na.png,1,2\n", "line 1: no column for class and box"),
        ("image,xmin,ymin,xmax,ymax,class\na.png,1,2\n", "line 2: 3 cells, and the first line has 6"),
    ],
)
def test_a_table_of_something_else_is_refused(tmp_path, text, words):
    with pytest.raises(UserError, match=words):
        read(tmp_path, text)
