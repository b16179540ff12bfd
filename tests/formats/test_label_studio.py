from __future__ import annotations

import json
from xml.etree.ElementTree import parse

import numpy as np
import pytest
from hypothesis import given
from PIL import Image

from mal.errors import UserError
from mal.formats.folders import ReadOptions
from mal.formats.label_studio_in import read_label_studio
from mal.formats.label_studio_rle import decode, encode
from mal.formats.tally import Tally
from tests.formats.small_coco import HEIGHT, RING, WIDTH, annotation, coco_of, document, masks, written


def tasks(folder, *regions, kind="annotations", **more):
    sized = [{"original_width": 100, "original_height": 50, "id": "r"} | region for region in regions]
    task = {"id": 3, "data": {"image": "/data/local-files/?d=deep/a%20b.png"}, kind: [{"result": sized}]} | more
    path = folder / "tasks.json"
    path.write_text(json.dumps([task]))
    return path


def rectangle(**more):
    return {"type": "rectanglelabels", "value": {"x": 10, "y": 20, "width": 30, "height": 40, **more}}


def read(path, tally=None, **options):
    return read_label_studio(path, ReadOptions(**options), tally or Tally())


@given(masks)
def test_the_brush_code_gives_the_mask_back(mask):
    assert np.array_equal(decode(encode(mask), *mask.shape), mask)


@pytest.mark.parametrize("value", [False, True])
def test_runs_longer_than_the_code_can_say_are_split(value):
    mask = np.full((200, 300), value)
    assert np.array_equal(decode(encode(mask), 200, 300), mask)


def test_single_values_between_runs_are_read():
    values = [0] * 4 + [255] * 4 + [0] * 8  # written without a run, 2 x 2 pixels of 4 values
    bits = f"{16:032b}{7:05b}" + f"{3:04b}" * 4 + "000" + f"{15:04b}" + "".join(f"{value:08b}" for value in values)
    bits += "0" * (-len(bits) % 8)
    code = [int(bits[start : start + 8], 2) for start in range(0, len(bits), 8)]
    assert decode(code, 2, 2).tolist() == [[False, True], [False, False]]


@pytest.mark.parametrize(
    ("code", "words"), [([], "cut off"), (encode(RING)[:9], "cut off"), (encode(RING[:5]), "holds")]
)
def test_a_damaged_brush_code_is_refused(code, words):
    with pytest.raises(ValueError, match=words):
        decode(code, HEIGHT, WIDTH)


@pytest.mark.parametrize("kind", ["annotations", "predictions"])
def test_regions_of_people_become_annotations(tmp_path, kind):
    polygon = {"type": "polygonlabels", "value": {"points": [[0, 0], [10, 0], [10, 20], [0, 20]]}}
    polygon["value"]["polygonlabels"] = ["nut"]
    coco = read(tasks(tmp_path, rectangle(rectanglelabels=["bolt"]), polygon, kind=kind))
    first, second = coco.annotations
    assert first["bbox"] == [10, 10, 30, 20]
    assert (second["bbox"], second["area"]) == ([0, 0, 10, 10], 100)
    assert coco.document["images"] == [{"file_name": "deep/a b.png", "width": 100, "height": 50, "id": 1}]


def test_what_has_no_place_in_coco_is_left_out_and_named(tmp_path):
    tally = Tally()
    coco = read(tasks(tmp_path, {"type": "choices", "value": {"choices": ["good"]}}), tally)
    assert not len(coco.annotations)
    assert sorted(tally.left_out) == [
        "regions of the type choices",
    ]


def test_cancelled_answers_are_passed_over_and_further_ones_counted(tmp_path):
    region = rectangle(rectanglelabels=["bolt"]) | {"original_width": 100, "original_height": 50}
    answers = [{"was_cancelled": True, "result": []}, {"result": [region]}, {"result": []}]
    tally = Tally()
    coco = read(tasks(tmp_path, annotations=answers), tally)
    assert len(coco.annotations) == 1
    assert list(map(len, tally.left_out.values())) == [1]


def test_masks_are_suggestions_with_a_score_unless_asked_otherwise(tmp_path):
    coco = coco_of(tmp_path, document(annotation(5, RING, mask_score=0.75), annotation(6, RING, mask_score=0.5)))
    written(coco, tmp_path / "out.json", "label-studio", image_prefix="s3://bucket/")
    first, second = json.loads((tmp_path / "out.json").read_text())
    assert first["data"]["image"] == "s3://bucket/a.png"
    (prediction,) = first["predictions"]
    assert prediction["score"] == 0.5
    assert [region["score"] for region in prediction["result"]] == [0.75, 0.5]
    assert second["predictions"][0]["result"] == []
    written(coco, tmp_path / "out.json", "label-studio", as_predictions=False)
    assert "annotations" in json.loads((tmp_path / "out.json").read_text())[0]


def test_the_config_names_the_tags_and_classes_that_the_regions_use(tmp_path):
    content = document(annotation(5, RING), annotation(6, None))
    for shapes in ("masks", "polygons"):
        written(coco_of(tmp_path, content), tmp_path / "out.json", "label-studio", shapes=shapes)
        regions = json.loads((tmp_path / "out.json").read_text())[0]["predictions"][0]["result"]
        config = parse(tmp_path / "out.label_config.xml")
        tags = {element.get("name"): element for element in config.getroot()}
        assert {region["from_name"] for region in regions} < set(tags)
        for region in regions:
            labels = {label.get("value") for label in tags[region["from_name"]]}
            assert labels == {"bolt", "nut & co"}
            assert tags[region["from_name"]].tag.lower() == region["type"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{}", "list of tasks"),
        ("[3]", "list of tasks"),
        ('[{"data": {}, "predictions": 3}]', "task 0: the key 'predictions' is 3"),
    ],
)
def test_json_of_something_else_is_refused(tmp_path, content, words):
    (tmp_path / "tasks.json").write_text(content)
    with pytest.raises(UserError, match=words):
        read(tmp_path / "tasks.json")


def test_labels_and_their_rectangle_are_joined_by_their_id(tmp_path):
    place = {"x": 10, "y": 20, "width": 30, "height": 40, "rotation": 0}
    labels = {"type": "labels", "value": place | {"labels": ["cat"]}}
    for regions in ([{"type": "rectangle", "value": place}, labels], [labels]):
        coco = read(tasks(tmp_path, *regions))
        (record,) = coco.annotations
        assert (record["bbox"], coco.categories) == ([10, 10, 30, 20], {1: "cat"})


def test_a_turned_rectangle_is_turned_around_its_first_corner(tmp_path):
    (record,) = read(tasks(tmp_path, rectangle(rotation=90, rectanglelabels=["cat"]))).annotations
    assert record["bbox"] == pytest.approx([-10, 10, 20, 30])
    assert record["area"] == 300  # a third lies beside the image


def test_an_ellipse_is_a_mask(tmp_path):
    value = {"x": 50, "y": 50, "radiusX": 10, "radiusY": 20, "rotation": 0, "ellipselabels": ["cat"]}
    (record,) = read(tasks(tmp_path, {"type": "ellipselabels", "value": value})).annotations
    assert record["bbox"] == pytest.approx([40, 15, 20, 20])
    assert record["area"] == pytest.approx(314, rel=0.03)


def test_sizes_that_no_region_says_come_from_the_pictures(tmp_path):
    path = tmp_path / "tasks.json"
    region = rectangle(rectanglelabels=["cat"])
    task = {"id": 1, "data": {"image": "/data/upload/1/0a1b2c3d-a.png"}, "annotations": [{"result": [region]}]}
    path.write_text(json.dumps([task]))
    with pytest.raises(UserError, match=r"task 1: the size of its image is not known: --images DIR takes it"):
        read(path)
    Image.new("RGB", (100, 50)).save(tmp_path / "a.png")  # its name before the upload
    coco = read(path, images=tmp_path)
    assert (coco.annotations[0]["bbox"], coco.images[1].file_name) == ([10, 10, 30, 20], "a.png")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"images": [{"url": "https://example.org/1.jpeg"}]}, "task 3: no image under data"),
        ({"text": "a story"}, "task 3: no image under data"),
        ({"image": "data:image/png;base64,AAAA"}, "in the task itself"),
        ({"image": "https://example.org/?id=3"}, "without a file name"),
    ],
)
def test_a_task_without_an_image_is_named(tmp_path, data, words):
    path = tasks(tmp_path, rectangle(rectanglelabels=["cat"]), data=data)
    with pytest.raises(UserError, match=words):
        read(path)


def test_the_image_of_a_task_may_have_any_name(tmp_path):
    coco = read(tasks(tmp_path, rectangle(rectanglelabels=["cat"]), data={"text": "hello", "photo": "s3://b/x.jpg"}))
    assert coco.images[1].file_name == "x.jpg"


def test_several_labels_and_none_are_said(tmp_path):
    tally = Tally()
    two, none = rectangle(rectanglelabels=["cat", "dog"]) | {"id": "a"}, rectangle() | {"id": "b"}
    coco = read(tasks(tmp_path, two, none), tally)
    assert [coco.categories[record["category_id"]] for record in coco.annotations] == ["cat", "object"]
    assert [len(names) for names in tally.changed.values()] == [1, 1]
    assert "(cat, dog)" in str(tally.changed)


def test_answers_about_a_region_are_kept_by_the_names_of_the_questions(tmp_path):
    choice = {"type": "choices", "from_name": "state", "value": {"choices": ["worn"]}}
    (record,) = read(tasks(tmp_path, rectangle(rectanglelabels=["cat"]), choice)).annotations
    assert record["attributes"] == {"state": ["worn"]}


def test_regions_of_a_second_image_are_left_out_and_counted(tmp_path):
    first = rectangle(rectanglelabels=["cat"]) | {"to_name": "a"}
    second = rectangle(rectanglelabels=["dog"]) | {"to_name": "b", "id": "s"}
    tally = Tally()
    coco = read(tasks(tmp_path, first, second, data={"image": "/data/a.png", "other": "/data/b.png"}), tally)
    assert coco.categories == {1: "cat"}
    assert list(tally.left_out) == ["regions of another image of their task"]


def test_a_single_task_and_the_answers_of_old_versions_are_read(tmp_path):
    path = tasks(tmp_path, rectangle(rectanglelabels=["cat"]), kind="completions")
    path.write_text(json.dumps(json.loads(path.read_text())[0]))
    assert len(read(path).annotations) == 1


def test_annotations_that_are_ids_alone_are_named(tmp_path):
    with pytest.raises(UserError, match="ids alone: export the project as JSON"):
        read(tasks(tmp_path, annotations=[21]))
