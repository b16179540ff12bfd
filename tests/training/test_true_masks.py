from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mal.data.loaders import AnnotatedImages
from mal.errors import UserError
from mal.masks.rle import rle_area, rle_from_mask
from mal.training.inputs import read_inputs
from mal.training.true_masks import masks_of_file, reviewed_masks
from tests.small_networks import small_spec

SIDE = 96
PLACES = [(4, 4, 60, 50), (30, 40, 60, 52), (10, 20, 70, 70)]


def disc(box: tuple[int, int, int, int]) -> np.ndarray:
    x, y, width, height = box
    rows, columns = np.mgrid[0:SIDE, 0:SIDE] + 0.5
    return (2 * (columns - x) / width - 1) ** 2 + (2 * (rows - y) / height - 1) ** 2 < 1


def record(number: int, box, *, has_mask: bool = True, image_id: int = 1, **more) -> dict:
    mask = {"segmentation": rle_from_mask(disc(box))} if has_mask else {}
    return {"id": number, "image_id": image_id, "category_id": 1, "iscrowd": 0, "bbox": list(box)} | mask | more


def source(folder: Path, name: str, records: list[dict], **more) -> AnnotatedImages:
    folder.mkdir(exist_ok=True)
    images = [
        {"id": number, "file_name": f"{number}.png", "width": SIDE, "height": SIDE}
        for number in sorted({item["image_id"] for item in records})
    ]
    for image in images:
        Image.new("RGB", (SIDE, SIDE), (90, 120, 40)).save(folder / image["file_name"])
    document = {"images": images, "annotations": records, "categories": [{"id": 1, "name": "a"}]} | more
    (folder / name).write_text(json.dumps(document))
    return AnnotatedImages(folder / name, folder)


@pytest.fixture
def boxes(tmp_path):
    records = [record(number, box, has_mask=False) for number, box in enumerate(PLACES)]
    return source(tmp_path, "boxes.json", records).boxes_to_train_on(min_obj_size=100, max_obj_size=1e9)


def test_a_mask_belongs_to_the_box_with_its_id(tmp_path, boxes):
    masks = source(tmp_path, "masks.json", [record(2, PLACES[2]), record(0, PLACES[0])])
    found = masks_of_file(boxes, masks)
    assert {index: rle_area(rle) for index, rle in found.by_index.items()} == {
        index: disc(PLACES[index]).sum() for index in (0, 2)
    }
    assert found.notes == []


def test_a_mask_of_another_id_belongs_to_the_box_at_its_place(tmp_path, boxes):
    x, y, width, height = PLACES[1]
    masks = source(tmp_path, "masks.json", [record(77, (x + 1, y + 1, width - 1, height))])
    assert list(masks_of_file(boxes, masks).by_index) == [1]


@pytest.mark.parametrize("changes", [{"image_id": 2}, {"number": 9, "box": (60, 60, 30, 30)}])
def test_a_mask_of_no_box_is_named(tmp_path, boxes, changes):
    masks = source(tmp_path, "masks.json", [record(**({"number": 1, "box": PLACES[1]} | changes))])
    found = masks_of_file(boxes, masks)
    assert found.by_index == {}
    (note,) = found.notes
    assert note.reason == "its mask is not used: no box to train on has its id or its place"


def test_a_second_mask_of_a_box_is_named(tmp_path, boxes):
    masks = source(tmp_path, "masks.json", [record(1, PLACES[1]), record(5, PLACES[1])])
    found = masks_of_file(boxes, masks)
    assert list(found.by_index) == [1]
    assert [(note.annotation_id, "has a mask already" in note.reason) for note in found.notes] == [(5, True)]


def test_a_mask_that_does_not_fit_its_box_is_named(tmp_path, boxes):
    shifted = record(1, PLACES[1]) | {"segmentation": rle_from_mask(disc((70, 2, 20, 20)))}
    found = masks_of_file(boxes, source(tmp_path, "masks.json", [shifted]))
    assert found.by_index == {}
    assert "does not fit its box" in found.notes[0].reason


def reviewed(state: str) -> dict:
    return {"mal": {"review": {"state": state}}}


STATES = ["accepted", "edited", "rejected", "skipped"]


def test_of_a_reviewed_training_file_accepted_and_edited_masks_are_true(tmp_path):
    records = [record(number, PLACES[number % 3], **reviewed(state)) for number, state in enumerate(STATES)]
    training = source(tmp_path, "training.json", [*records, record(9, PLACES[0])])
    boxes = training.boxes_to_train_on(min_obj_size=100, max_obj_size=1e9)
    assert sorted(reviewed_masks(boxes, training.coco).by_index) == [0, 1]


@pytest.mark.parametrize(("mark", "indices"), [({}, [0, 1, 2]), ({"mal": {"review": {"labels": "m.json"}}}, [0])])
def test_of_a_file_of_masks_that_was_reviewed_the_others_are_left_out(tmp_path, boxes, mark, indices):
    records = [
        record(0, PLACES[0], **reviewed("edited")),
        record(1, PLACES[1]),
        record(2, PLACES[2], **reviewed("draft")),
    ]
    masks = source(tmp_path, "masks.json", records, **mark)
    assert sorted(masks_of_file(boxes, masks).by_index) == indices


def spec_of(folder: Path, target: str, masks: str | None = "masks.json"):
    paths = {"train_ann_path": str(folder / "boxes.json"), "train_img_dir": str(folder), "min_obj_size": 100}
    if masks:
        paths["masks_ann_path"] = str(folder / masks)
    return small_spec(dataset=paths, train={"target": target})


def test_the_inputs_of_a_run_hold_the_true_masks(tmp_path, boxes, capsys):
    source(tmp_path, "masks.json", [record(1, PLACES[1]), record(5, (0, 60, 20, 20))])
    inputs = read_inputs(spec_of(tmp_path, "graph_cut"), seed=1, world_size=1)
    assert list(inputs.training.true_masks) == [1]
    assert "1 true masks to learn from" in capsys.readouterr().out
    assert [note.reason for note in inputs.notes] == [
        "in the file of masks: its mask is not used: no box to train on has its id or its place"
    ]


def test_a_file_of_masks_without_graph_cut_targets_says_what_it_takes(tmp_path, boxes):
    source(tmp_path, "masks.json", [record(1, PLACES[1])])
    with pytest.raises(UserError, match=r"takes train\.target=graph_cut"):
        read_inputs(spec_of(tmp_path, "mean_field"), seed=1, world_size=1)


def test_a_file_of_masks_of_other_boxes_ends_the_run(tmp_path, boxes):
    source(tmp_path, "masks.json", [record(5, (0, 60, 20, 20))])
    with pytest.raises(
        UserError, match=r"masks\.json: none of its masks is of a box to train on, for instance: in the"
    ):
        read_inputs(spec_of(tmp_path, "graph_cut"), seed=1, world_size=1)


def test_reviewed_masks_that_are_not_learned_from_are_told(tmp_path, capsys):
    source(tmp_path, "boxes.json", [record(0, PLACES[0], **reviewed("edited"))], mal={"review": {}})
    assert not read_inputs(spec_of(tmp_path, "mean_field", None), seed=1, world_size=1).training.true_masks
    assert "reviewed masks are not learned from: that takes train.target=graph_cut" in capsys.readouterr().out
