"""The format that a data set came in, and its parts."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from mal.auto.native import native_format, native_path, parts_of
from mal.formats.folders import ReadOptions
from mal.formats.tally import Tally
from mal.formats.yolo_in import read_yolo


@pytest.mark.parametrize(
    ("source", "wanted", "found"),
    [
        ("yolo", None, "yolo-seg"),
        ("yolo-seg", None, "yolo-seg"),
        ("cvat-xml", None, "cvat"),
        ("labelme", None, "labelme"),
        ("coco", None, None),
        ("voc", None, None),
        ("csv", None, None),
        ("voc", "yolo-seg", "yolo-seg"),
        ("yolo", "coco", None),
    ],
)
def test_masks_are_written_in_the_format_that_came_in_if_it_has_masks(source, wanted, found):
    assert native_format(source, wanted) == found


def test_formats_of_one_file_are_files():
    assert native_path(Path("out"), "cvat") == Path("out/cvat.zip")
    assert native_path(Path("out"), "png") == Path("out/png")


def yolo(folder: Path, splits: dict[str, list[str]]) -> Path:
    for split, names in splits.items():
        for name in names:
            picture = folder / f"images/{split}/{name}.png"
            picture.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (20, 10)).save(picture)
            label = folder / f"labels/{split}/{name}.txt"
            label.parent.mkdir(parents=True, exist_ok=True)
            label.write_text("0 0.5 0.5 0.5 0.5\n")
    lines = [f"{split}: images/{split}" for split in splits]
    (folder / "data.yaml").write_text("\n".join([*lines, "names: [nut]"]))
    return folder / "data.yaml"


def parts(source: Path):
    coco, images = read_yolo(source, ReadOptions(), Tally())
    return {
        part.split: sorted((part.names or {}).values()) for part in parts_of(source, "yolo", "yolo-seg", coco, images)
    }


def test_the_splits_of_a_yolo_data_set_are_kept(tmp_path):
    assert parts(yolo(tmp_path, {"train": ["a", "b"], "val": ["a"]})) == {"train": ["a.png", "b.png"], "val": ["a.png"]}


def test_a_picture_of_two_splits_is_written_once(tmp_path):
    source = yolo(tmp_path, {"train": ["a", "b"]})
    source.write_text("train: images/train\nval: images/train\nnames: [nut]\n")
    assert parts(source) == {"train": ["a.png", "b.png"]}


def test_splits_of_other_names_become_one_part(tmp_path):
    assert parts(yolo(tmp_path, {"train": ["a"], "holdout": ["b"]})) == {None: []}
