from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from mal.errors import UserError
from mal.formats.folders import ReadOptions
from mal.formats.labelme_in import read_labelme
from mal.formats.tally import Tally
from mal.masks.rle import mask_from_rle
from tests.formats.small_coco import HEIGHT, RING, WIDTH, annotation, coco_of, document, read_back, with_rles, written


def file(folder, *shapes, **more):
    """A JSON file as LabelMe writes it, with nothing of ours in it."""
    whole = [{"group_id": None, "flags": {}, "description": ""} | shape for shape in shapes]
    content = {"version": "5.5.0", "flags": {}, "shapes": whole, "imagePath": "..\\photos\\a.png", "imageData": None}
    path = folder / "a.json"
    path.write_text(json.dumps(content | {"imageHeight": HEIGHT, "imageWidth": WIDTH} | more))
    return path


def square(x, y, side, **more):
    points = [[x, y], [x + side, y], [x + side, y + side], [x, y + side]]
    return {"label": "nut", "shape_type": "polygon", "points": points} | more


def read(path, tally=None, **options):
    return read_labelme(path, ReadOptions(**options), tally or Tally())


def test_shapes_drawn_by_people_become_annotations(tmp_path):
    rectangle = {"label": "bolt", "shape_type": "rectangle", "points": [[9, 8], [3, 4]]}
    circle = {"label": "nut", "shape_type": "circle", "points": [[6, 5], [8, 5]]}
    coco = read(file(tmp_path, square(1, 2, 3), rectangle, circle))
    first, second, third = coco.annotations
    assert (first["bbox"], first["area"]) == ([1, 2, 3, 3], 9)
    assert (second["bbox"], "segmentation" in second) == ([3, 4, 6, 4], False)
    assert (third["bbox"], third["area"]) == ([4, 3, 4, 4], 12)
    assert [coco.categories[record["category_id"]] for record in coco.annotations] == ["nut", "bolt", "nut"]
    assert coco.document["images"][0] == {"file_name": "a.png", "width": WIDTH, "height": HEIGHT, "id": 1}


def test_polygons_of_one_label_and_group_are_parts_of_one_annotation(tmp_path):
    parts = [square(1, 2, 2, group_id=1), square(6, 2, 2, group_id=1), square(1, 7, 2, group_id=2), square(6, 7, 2)]
    coco = read(file(tmp_path, *parts))
    assert [record["area"] for record in coco.annotations] == [8, 4, 4]


def test_points_and_lines_are_left_out_and_named(tmp_path):
    tally = Tally()
    path = file(tmp_path, square(1, 2, 3), {"label": "nut", "shape_type": "line", "points": [[1, 1], [3, 3]]})
    assert len(read(path, tally).annotations) == 1
    assert tally.left_out == {"shapes of the type line have no area": [f"{path}, shape 1"]}


def test_an_edited_mask_brings_its_box_and_area_up_to_date(tmp_path):
    written(coco_of(tmp_path, document(annotation(5, RING))), tmp_path / "out", "labelme", shapes="polygons")
    path = tmp_path / "out" / "a.json"
    content = json.loads(path.read_text())
    content["shapes"] = [shape for shape in content["shapes"] if len(shape["points"]) > 4]  # the thin part is deleted
    path.write_text(json.dumps(content))
    tally = Tally()
    (record,) = read(tmp_path / "out", tally).annotations
    assert (record["id"], record["note"], record["bbox"], record["area"]) == (5, "no. 5", [3, 2, 6, 6], 32)
    assert len(tally.changed) == 1


def test_a_mask_lies_where_labelme_puts_it(tmp_path):
    written(coco_of(tmp_path, document(annotation(5, RING))), tmp_path / "out", "labelme")
    (shape,) = json.loads((tmp_path / "out" / "a.json").read_text())["shapes"]
    assert shape["points"] == [[1, 2], [11, 9]]  # its first and its last pixel
    assert (shape["label"], shape["shape_type"]) == ("nut & co", "mask")
    assert (tmp_path / "out" / "labels.txt").read_text() == "bolt\nnut & co\n"


def test_the_picture_is_named_as_seen_from_the_file(tmp_path):
    coco = coco_of(tmp_path, document(annotation(5, RING)))
    written(coco, tmp_path / "out", "labelme", images=tmp_path / "pictures")
    content = json.loads((tmp_path / "out" / "deep" / "b.c.json").read_text())
    assert content["imagePath"] == "../../pictures/deep/b.c.png"


def test_an_empty_mask_is_shown_as_its_box_and_said(tmp_path):
    empty = annotation(5, np.zeros((HEIGHT, WIDTH), bool))
    tally = written(coco_of(tmp_path, document(empty)), tmp_path / "out", "labelme")
    (record,) = read_back(tmp_path / "out")["annotations"]
    assert record["bbox"] == empty["bbox"]
    assert tally.changed == {"an empty mask is shown as its box": ["annotation 5 of a.png"]}


def test_a_tolerance_makes_polygons_simpler_and_is_no_edit(tmp_path):
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    disc = (x - 6) ** 2 + (y - 5) ** 2 < 20
    content = document(annotation(5, disc))
    written(coco_of(tmp_path, content), tmp_path / "out", "labelme", shapes="polygons", tolerance=1.0)
    (record,) = with_rles(read_back(tmp_path / "out"))
    again = mask_from_rle(record["segmentation"])
    assert (again & disc).sum() / (again | disc).sum() > 0.8
    assert record["area"] == disc.sum()


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ({"label": "nut", "shape_type": "mask", "points": [[1, 1], [2, 2]], "mask": "no"}, "no PNG"),
        ({"label": "nut", "shape_type": "mask", "points": [[1, 1], [2, 2]]}, "the key 'mask' is missing"),
        ({"label": "nut", "shape_type": "polygon", "points": [[1, 1], [2, 2]]}, "three x, y pairs"),
        ({"shape_type": "polygon", "points": []}, "the key 'label' is missing"),
    ],
)
def test_a_broken_shape_is_named(tmp_path, shape, words):
    with pytest.raises(UserError, match=rf"a\.json.*{words}"):
        read(file(tmp_path, shape))


def test_json_of_something_else_is_refused(tmp_path):
    (tmp_path / "a.json").write_text('{"images": []}')
    with pytest.raises(UserError, match="not a LabelMe file: the key 'shapes' is missing"):
        read(tmp_path / "a.json")


@pytest.mark.parametrize("points", [[[5, 6], [12, 6], [12, 10], [5, 10]], [[12, 10], [5, 6]]])
def test_a_rectangle_has_two_corners_or_as_x_anylabeling_writes_it_four(tmp_path, points):
    coco = read(file(tmp_path, {"label": "cat", "shape_type": "rectangle", "points": points}))
    assert coco.annotations[0]["bbox"] == [5, 6, 7, 4]


def test_a_turned_box_of_x_anylabeling_is_a_mask_and_its_words_are_kept(tmp_path):
    more = {"score": 0.5, "description": "old", "difficult": True, "attributes": {"fur": "long"}, "direction": 0.5}
    shape = {"label": "cat", "shape_type": "rotation", "points": [[6, 2], [10, 6], [6, 10], [2, 6]], **more}
    (record,) = read(file(tmp_path, shape)).annotations
    assert record["area"] == pytest.approx(32, rel=0.2)
    assert record["score"] == 0.5
    assert record["attributes"] == {"description": "old", "difficult": True, "attributes": {"fur": "long"}}


@pytest.mark.parametrize("size", [{"imageHeight": None, "imageWidth": None}, {"imageHeight": 0}, {"imageWidth": "x"}])
def test_a_size_that_is_not_said_comes_from_the_picture(tmp_path, size):
    path = file(tmp_path, square(1, 2, 3), **size)
    with pytest.raises(UserError, match=r"a\.json: .*the size of its image is not known: --images DIR"):
        read(path)
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (30, 20)).save(tmp_path / "photos/a.png")
    assert read(path, images=tmp_path / "photos").images[1].width == 30
    Image.new("RGB", (40, 20)).save(tmp_path / "a.png")
    assert read(path).images[1].width == 40


def test_shapes_called_ignore_are_left_out_and_are_no_class(tmp_path):
    (tmp_path / "labels.txt").write_text("__ignore__\n_background_\nnut\n")
    tally = Tally()
    coco = read(file(tmp_path, square(1, 2, 3), square(4, 2, 3, label="__ignore__")).parent, tally)
    assert coco.categories == {1: "nut"}
    assert len(coco.annotations) == 1
    assert {reason: len(names) for reason, names in tally.left_out.items()} == {
        "shapes called __ignore__, which LabelMe leaves out too": 1
    }


def test_a_shape_without_a_type_is_a_polygon_as_in_the_first_versions(tmp_path):
    (record,) = read(file(tmp_path, {"label": "nut", "points": [[1, 2], [4, 2], [4, 5], [1, 5]]})).annotations
    assert record["area"] == 9


def test_a_class_whose_name_is_not_one_line_is_named(tmp_path):
    categories = [{"id": 3, "name": "nut\nbolt"}, {"id": 4, "name": "gear"}]
    tally = written(
        coco_of(tmp_path, document(annotation(5, RING), categories=categories)), tmp_path / "out", "labelme"
    )
    assert (tmp_path / "out" / "labels.txt").read_text() == "gear\n"
    assert list(tally.changed.values()) == [['class "nut\\nbolt"']]
    names = [record["name"] for record in read_back(tmp_path / "out")["categories"]]
    assert sorted(names) == ["gear", "nut\nbolt"]
