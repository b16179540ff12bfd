from __future__ import annotations

import json

import numpy as np
import pytest

from mal.errors import UserError
from mal.formats.coco_out import write_coco
from mal.formats.folders import WriteOptions
from mal.formats.tally import Tally
from tests.formats.small_coco import HEIGHT, RING, WIDTH, annotation, coco_of, document, written

DRAWN = [[1.5, 1.25, 6.75, 1.25, 6.75, 5.5]]


def convert(folder, content, **options):
    tally = written(coco_of(folder, content), folder / "out.json", "coco", **options)
    return json.loads((folder / "out.json").read_text()), tally


def test_all_that_is_no_mask_stays_as_it_was(tmp_path):
    content = document(annotation(5, RING), annotation(2, None), licenses=[{"id": 1}], videos=[{"a": 1}, {"b": 2}])
    result, tally = convert(tmp_path, content)
    assert result == content
    assert list(result) == list(content)
    assert list(tally.lines()) == ["2 images, 1 box, 1 mask, 2 classes"]


def test_polygons_that_people_drew_stay_as_they_drew_them(tmp_path):
    content = document(annotation(5, RING, segmentation=DRAWN))
    result, _ = convert(tmp_path, content, shapes="polygons", tolerance=2.0)
    assert result == content


def test_polygons_become_masks_and_keep_the_area_that_the_file_gives(tmp_path):
    result, _ = convert(tmp_path, document(annotation(5, RING, segmentation=DRAWN, area=11.2)))
    (record,) = result["annotations"]
    assert (record["segmentation"]["size"], record["area"]) == ([HEIGHT, WIDTH], 11.2)


def test_an_area_that_is_missing_is_counted(tmp_path):
    record = annotation(5, RING)
    del record["area"]
    result, _ = convert(tmp_path, document(record))
    assert result["annotations"][0]["area"] == RING.sum()


def test_each_part_is_a_polygon_and_a_hole_a_bridge(tmp_path):
    result, _ = convert(tmp_path, document(annotation(5, RING)), shapes="polygons")
    first, second = result["annotations"][0]["segmentation"]
    assert len(first) == 2 * (4 + 4 + 2)  # two squares, and there and back between them
    assert second == [1, 9, 12, 9, 12, 10, 1, 10]


def test_an_empty_mask_has_no_polygon_and_is_said(tmp_path):
    empty = annotation(5, np.zeros((HEIGHT, WIDTH), bool))
    result, tally = convert(tmp_path, document(empty), shapes="polygons")
    assert result["annotations"][0]["segmentation"] == []
    assert list(tally.changed.values()) == [["annotation 5"]]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"image_id": 99}, "its image is not in the file"),
        ({"category_id": 99}, "its category is not in the list"),
        ({"segmentation": {"size": [2, 2], "counts": [4]}}, "its mask cannot be read: the RLE has size"),
        ({"segmentation": [[1, 2]]}, "its mask cannot be read"),
    ],
)
def test_a_broken_record_is_named_or_left_out_and_named(tmp_path, change, words):
    coco = coco_of(tmp_path, document(annotation(5, RING), annotation(6, RING) | change))
    with pytest.raises(UserError, match=rf"in\.json: annotation 6.*: {words}"):
        write_coco(coco, tmp_path / "out.json", WriteOptions(), Tally())
    assert not (tmp_path / "out.json").exists()
    tally = Tally(skip_broken=True)
    write_coco(coco, tmp_path / "out.json", WriteOptions(), tally)
    assert [record["id"] for record in json.loads((tmp_path / "out.json").read_text())["annotations"]] == [5]
    ((name,),) = tally.left_out.values()
    assert name.startswith(f"{tmp_path}/in.json: annotation 6")
    assert tally.has_broken


def test_two_images_with_one_id_are_named(tmp_path):
    content = document()
    content["images"][1]["id"] = 7
    with pytest.raises(UserError, match=r"images\[0\]: image id 7 is used twice"):
        convert(tmp_path, content)
