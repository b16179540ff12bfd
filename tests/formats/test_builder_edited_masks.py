"""A mask that a person edited comes back with its own box and area, and that is said; an unedited one as it was."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from mal.formats.folders import ReadOptions, WriteOptions
from mal.formats.formats import WRITERS, read
from mal.formats.tally import Tally
from mal.masks.rle import mask_from_rle, rle_digest, rle_from_mask, rle_from_segmentation
from tests.formats.small_coco import HEIGHT, WIDTH, annotation, coco_of, document, masks

SIDE_X, SIDE_Y = 5, 4  # how far masks are moved, at most to the border of the image
LOOSE = [0.5, 0.5, 8.25, 6.75]  # a box that is not the one around the mask
EDITABLE = [
    ("labelme", "masks"),
    ("labelme", "polygons"),
    ("label-studio", "masks"),
    ("label-studio", "polygons"),
    ("png", "masks"),
]
corners = arrays(bool, (HEIGHT - SIDE_Y, WIDTH - SIDE_X)).filter(np.any)


def moved_labelme(out: Path, dx: int, dy: int) -> None:
    path = out / "a.json"
    content = json.loads(path.read_text())
    for shape in content["shapes"]:
        shape["points"] = [[x + dx, y + dy] for x, y in shape["points"]]
    path.write_text(json.dumps(content))


def moved_label_studio(out: Path, dx: int, dy: int) -> None:
    from mal.formats.label_studio_rle import decode, encode

    tasks = json.loads(out.read_text())
    for region in tasks[0]["predictions"][0]["result"]:
        value = region["value"]
        if region["type"] == "brushlabels":
            value["rle"] = encode(np.roll(decode(value["rle"], HEIGHT, WIDTH), (dy, dx), (0, 1)))
        elif region["type"] == "polygonlabels":
            value["points"] = [[x + dx / WIDTH * 100, y + dy / HEIGHT * 100] for x, y in value["points"]]
        else:
            value |= {"x": value["x"] + dx / WIDTH * 100, "y": value["y"] + dy / HEIGHT * 100}
    out.write_text(json.dumps(tasks))


def moved_png(out: Path, dx: int, dy: int) -> None:
    for path in (out / "instances").rglob("*.png"):
        Image.fromarray(np.roll(np.asarray(Image.open(path)), (dy, dx), (0, 1))).save(path)


MOVE = {"labelme": moved_labelme, "label-studio": moved_label_studio, "png": moved_png}


def there_and_back(name, shapes, content, edit=None) -> tuple[list[dict], Tally]:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "out.json" if name == "label-studio" else "out")
        WRITERS[name](coco_of(Path(folder), content), out, WriteOptions(shapes=shapes), Tally())
        if edit is not None:
            edit(out)
        tally = Tally()
        coco, _ = read(out, name, ReadOptions(), tally)
        return list(coco.annotations), tally


@pytest.mark.parametrize(("name", "shapes"), EDITABLE)
@settings(max_examples=10)
@given(corner=corners, dx=st.integers(0, SIDE_X), dy=st.integers(0, SIDE_Y))
def test_a_moved_mask_has_its_box_where_it_lies(name, shapes, corner, dx, dy):
    assume(dx or dy)
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[: corner.shape[0], : corner.shape[1]] = corner
    content = document(annotation(5, mask, bbox=LOOSE, area=999, mask_score=0.5))
    (record,), tally = there_and_back(name, shapes, content, lambda out: MOVE[name](out, dx, dy))
    moved = np.roll(mask, (dy, dx), (0, 1))
    rle = rle_from_segmentation(record["segmentation"], HEIGHT, WIDTH)
    assert np.array_equal(mask_from_rle(rle), moved)
    rows, columns = np.flatnonzero(moved.any(axis=1)), np.flatnonzero(moved.any(axis=0))
    box = [columns[0], rows[0], columns[-1] + 1 - columns[0], rows[-1] + 1 - rows[0]]
    assert (record["bbox"], record["area"]) == (box, mask.sum())
    assert (record["id"], record["note"], record["mask_score"]) == (5, "no. 5", 0.5)
    assert [reason for reason, names in tally.changed.items() if names] == [
        "the mask was edited: its box and area go by the new one"
    ]


@pytest.mark.parametrize(("name", "shapes"), EDITABLE)
@settings(max_examples=10)
@given(mask=masks)
def test_an_unedited_mask_keeps_its_record(name, shapes, mask):
    content = document(annotation(5, mask, bbox=LOOSE, area=999))
    (record,), tally = there_and_back(name, shapes, content)
    assert (record["bbox"], record["area"]) == (LOOSE, 999)
    assert not any(tally.changed.values())


@pytest.mark.parametrize("name", ["labelme", "label-studio"])
def test_a_moved_box_is_said_and_its_area_follows(name):
    content = document(annotation(5, None, bbox=[1, 2, 6, 7], area=99), annotation(6, None, bbox=[1, 2, 6, 7]))
    (first, second), tally = there_and_back(name, "masks", content, lambda out: MOVE[name](out, 2, 1))
    assert (first["bbox"], first["area"]) == ([3, 3, 6, 7], 42)
    assert (second["bbox"], "area" in second) == ([3, 3, 6, 7], False)
    assert [(reason, len(names)) for reason, names in tally.changed.items()] == [
        ("the box was edited: its area goes by the new one", 2)
    ]


def test_a_box_that_was_turned_keeps_its_record_and_gets_the_box_of_its_outline():
    def turn(out: Path) -> None:
        tasks = json.loads(out.read_text())
        tasks[0]["predictions"][0]["result"][0]["value"]["rotation"] = 90
        out.write_text(json.dumps(tasks))

    content = document(annotation(5, None, bbox=[6, 2, 4, 2]))
    (record,), tally = there_and_back("label-studio", "masks", content, turn)
    assert (record["id"], record["bbox"], record["area"]) == (5, [4, 2, 2, 4], 8)
    assert sum(len(names) for names in tally.changed.values()) == 1


def test_a_mask_that_was_emptied_keeps_its_box():
    def empty(out: Path) -> None:
        for path in (out / "instances").rglob("*.png"):
            Image.fromarray(np.zeros((HEIGHT, WIDTH), np.uint8)).save(path)

    content = document(annotation(5, np.eye(HEIGHT, WIDTH, dtype=bool)))
    (record,), tally = there_and_back("png", "masks", content, empty)
    assert (record["bbox"], record["area"]) == (content["annotations"][0]["bbox"], 0)
    assert sum(len(names) for names in tally.changed.values()) == 1


def test_another_class_is_said_and_takes_no_number_away(tmp_path):
    def other_class(out: Path) -> None:
        content = json.loads((out / "a.json").read_text())
        content["shapes"][0]["label"] = "bolt"
        (out / "a.json").write_text(json.dumps(content))

    content = document(annotation(5, None), annotation(6, None))
    (first, second), tally = there_and_back("labelme", "masks", content, other_class)
    assert second["category_id"] == 3
    assert first["category_id"] != 3
    assert [len(names) for names in tally.changed.values()] == [1]


def test_an_edited_picture_of_all_instances_is_said(tmp_path):
    content = document(annotation(5, np.eye(HEIGHT, WIDTH, dtype=bool)))

    def edit(out: Path) -> None:
        path = out / "indexed/a.png"
        Image.fromarray(np.roll(np.asarray(Image.open(path)), 1, 0)).save(path)

    _, tally = there_and_back("png", "masks", content, edit)
    assert list(tally.changed.values()) == [["indexed/a.png"]]


@given(masks, masks)
def test_a_digest_tells_masks_apart(first, second):
    same = rle_digest(rle_from_mask(first)) == rle_digest(rle_from_mask(second))
    assert same == np.array_equal(first, second)


@given(masks, st.randoms(use_true_random=False))
def test_runs_of_no_length_do_not_change_a_digest(mask, random):
    runs = np.diff(np.flatnonzero(np.diff(mask.ravel("F"), prepend=~mask[0, 0], append=~mask[-1, -1]))).tolist()
    counts = ([0] if mask[0, 0] else []) + runs
    split = [part for count in counts for part in _in_two(count, random)]
    rle = rle_from_segmentation({"size": [HEIGHT, WIDTH], "counts": split}, HEIGHT, WIDTH)
    assert rle_digest(rle) == rle_digest(rle_from_mask(mask))


def _in_two(count: int, random) -> list[int]:
    first = random.randint(0, count)
    return random.choice([[count], [first, 0, count - first]])
