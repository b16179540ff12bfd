"""The ``data.yaml`` that is written: loadable from any folder, with train and val, and one data set after two calls."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from mal.bounded_yaml import load_yaml
from mal.formats.yolo_out import as_yaml, validation_images
from tests.cli.small_runs import run_mal
from tests.formats.small_coco import HEIGHT, RING, WIDTH, annotation, read_back, with_rles

names = st.sets(st.text("abc/", min_size=1, max_size=6).map(PurePosixPath), max_size=40)


def source(folder: Path, *file_names: str, classes=("bolt", "nut")) -> Path:
    """A file of images with a mask each, and their pictures in ``pictures/``."""
    for name in file_names:
        path = folder / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (WIDTH, HEIGHT)).save(path)
    images = [{"id": n, "file_name": name, "width": WIDTH, "height": HEIGHT} for n, name in enumerate(file_names)]
    content = {
        "images": images,
        "annotations": [annotation(n, RING, n, category_id=2) for n in range(len(images))],
        "categories": [{"id": number, "name": name} for number, name in enumerate(classes, start=1)],
    }
    (folder / "in.json").write_text(json.dumps(content))
    return folder / "in.json"


def convert(capfd, file: Path, out: Path, *more, pictures: str = "copy"):
    with_pictures = ["--images", file.parent / "pictures", "--pictures", pictures]
    return run_mal(capfd, "convert", file, out, "--to", "yolo-seg", *with_pictures, *more)


def described(out: Path) -> dict:
    """What a trainer makes of the description: the pictures of each split, found from the file's own folder."""
    assert [path.name for path in out.glob("*.y*ml")] == ["data.yaml"]
    document = yaml.safe_load((out / "data.yaml").read_text(encoding="utf-8"))
    assert "path" not in document
    for split in set(document) - {"names"}:
        folder = out / document[split]
        document[split] = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))
        for picture in document[split]:
            before, _, after = (folder / picture).as_posix().rpartition("/images/")
            assert Path(f"{before}/labels/{after}").with_suffix(".txt").is_file()
    return document


def test_train_and_val_are_both_there_without_a_word_from_the_user(tmp_path, capfd):
    files = [f"{number}.png" for number in range(10)]
    outcome = convert(capfd, source(tmp_path, *files), tmp_path / "out")
    assert outcome.exit_code == 0
    found = described(tmp_path / "out")
    assert sorted(found["train"] + found["val"]) == files
    assert found["val"]
    assert found["names"] == {0: "bolt", 1: "nut"}
    assert f"images in train: {len(found['train'])}, in val: {len(found['val'])}" in outcome.out


def test_a_second_call_for_the_other_split_adds_to_the_first(tmp_path, capfd):
    out = tmp_path / "out"
    outcome = convert(capfd, source(tmp_path / "a", "a.png"), out, "--split", "train")
    assert described(out) == {"train": ["a.png"], "val": ["a.png"], "names": {0: "bolt", 1: "nut"}}
    assert "val in data.yaml names images/train" in outcome.out
    outcome = convert(capfd, source(tmp_path / "b", "b.png", "deep/c.png"), out, "--split", "val")
    assert (outcome.exit_code, outcome.err) == (0, "")
    assert described(out) == {"train": ["a.png"], "val": ["b.png", "deep/c.png"], "names": {0: "bolt", 1: "nut"}}
    assert "names images" not in outcome.out
    convert(capfd, source(tmp_path / "c", "d.png"), out, "--split", "test")
    assert described(out)["test"] == ["d.png"]


def test_a_split_that_is_there_is_not_overwritten(tmp_path, capfd):
    file, out = source(tmp_path, "a.png"), tmp_path / "out"
    convert(capfd, file, out, "--split", "train")
    outcome = convert(capfd, file, out, "--split", "train")
    assert (outcome.exit_code, "--overwrite" in outcome.err) == (1, True)
    assert convert(capfd, file, out, "--split", "train", "--overwrite").exit_code == 0


@pytest.mark.parametrize("description", ["path: /x\nnames: [bolt, nut]\n", "{", "names: 3", "train: x"])
def test_a_data_set_of_another_program_is_not_added_to(tmp_path, capfd, description):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/data.yaml").write_text(description)
    outcome = convert(capfd, source(tmp_path, "a.png"), tmp_path / "out", "--split", "train")
    assert (outcome.exit_code, "--overwrite" in outcome.err or "other classes" in outcome.err) == (1, True)
    assert (tmp_path / "out/data.yaml").read_text() == description


def test_a_split_with_other_classes_is_refused(tmp_path, capfd):
    out = tmp_path / "out"
    convert(capfd, source(tmp_path / "a", "a.png"), out, "--split", "train")
    before = (out / "data.yaml").read_bytes()
    outcome = convert(capfd, source(tmp_path / "b", "b.png", classes=("nut", "bolt")), out, "--split", "val")
    assert outcome.exit_code == 1
    assert "other classes" in outcome.err
    assert (out / "data.yaml").read_bytes() == before
    assert not (out / "labels/val").exists()


def test_no_share_and_one_image_name_the_same_pictures_and_say_so(tmp_path, capfd):
    for folder, files, more in (("a", ["1.png", "2.png"], ["--val-share", "0"]), ("b", ["1.png"], [])):
        outcome = convert(capfd, source(tmp_path / folder, *files), tmp_path / folder / "out", *more)
        found = described(tmp_path / folder / "out")
        assert found["train"] == found["val"] == files
        assert "val in data.yaml names images/train" in outcome.out


def test_an_image_does_not_come_into_both_splits(tmp_path, capfd):
    file, out = source(tmp_path, "1.png", "2.png"), tmp_path / "out"
    convert(capfd, file, out, "--val-share", "0")
    outcome = convert(capfd, file, out, "--val-share", "0.5", "--overwrite")
    assert outcome.exit_code == 1
    assert "the other split" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["--val-share", "1"], "less than 1"), (["--val-share", "x"], "not a number"), (["--split", "dev"], "the parts")],
)
def test_a_part_that_no_data_set_has_is_a_mistake(tmp_path, capfd, arguments, words):
    outcome = convert(capfd, source(tmp_path, "a.png"), tmp_path / "out", *arguments)
    assert outcome.exit_code in (1, 2)
    assert words in outcome.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("pictures", ["copy", "link", "no"])
@pytest.mark.parametrize(
    "files", [["1.png", "2.png", "deep/3.png"], ["images/1.png", "images/2.png", "x/images/3.png"]]
)
def test_our_own_reader_reads_what_is_written(tmp_path, capfd, pictures, files):
    file, out = source(tmp_path, *files), tmp_path / "out"
    convert(capfd, file, out, pictures=pictures)
    again = read_back(out, **({"images": tmp_path / "pictures"} if pictures == "no" else {}))
    found = [image["file_name"] for image in again["images"]]
    assert sorted(name.removeprefix("train/").removeprefix("val/") for name in found) == sorted(files)
    before = json.loads(file.read_text())["annotations"][0]["segmentation"]
    assert [record["segmentation"] for record in with_rles(again)] == [before] * 3


def test_file_names_that_begin_with_splits_are_told(tmp_path, capfd):
    outcome = convert(capfd, source(tmp_path, "train/a.png", "valid/b.png"), tmp_path / "out")
    assert "the folders train, valid of the file names are no splits of it" in outcome.out


def test_pictures_that_are_not_there_are_asked_for(tmp_path, capfd):
    assert "trainers need" in convert(capfd, source(tmp_path, "a.png"), tmp_path / "out", pictures="no").out


@given(names, st.floats(0, 0.99), names)
def test_an_image_stays_in_its_split_when_others_come(first, share, more):
    few, many = validation_images(first, share), validation_images(first | more, share)
    assert few <= first
    assert len(few - many) <= 1  # the one that is chosen for want of others
    assert len(first) < 2 or not share or 0 < len(few) < len(first)
    assert share or not few


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1, unique=True))
@example(["\x85"])
@example(["a\u2028b", "猫"])
def test_class_names_come_back_from_data_yaml_as_they_are(names):
    document = {"names": dict(enumerate(names))}
    assert load_yaml(as_yaml(document).decode()) == document
