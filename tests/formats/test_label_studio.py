from __future__ import annotations

import json
from xml.etree.ElementTree import parse

import numpy as np
import pytest
from hypothesis import given

from mal.errors import UserError
from mal.formats.label_studio_in import read_label_studio
from mal.formats.label_studio_rle import decode, encode
from mal.formats.options import ReadOptions
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


def read(path, tally=None):
    return read_label_studio(path, ReadOptions(), tally or Tally())


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
    coco = read(tasks(tmp_path, rectangle(rotation=30), {"type": "choices", "value": {"choices": ["good"]}}), tally)
    assert not len(coco.annotations)
    assert sorted(tally.left_out) == [
        "regions of the type choices",
        "regions of the type rectanglelabels that are turned",
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
    [("{}", "list of tasks"), ("[3]", "list of tasks"), ('[{"data": {}, "predictions": 3}]', "task 0: not as Label")],
)
def test_json_of_something_else_is_refused(tmp_path, content, words):
    (tmp_path / "tasks.json").write_text(content)
    with pytest.raises(UserError, match=words):
        read(tmp_path / "tasks.json")
