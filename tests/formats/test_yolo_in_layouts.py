"""The layouts in which tools leave YOLO data sets, each made small."""

from __future__ import annotations

import pytest
import yaml
from PIL import Image

from mal.errors import UserError
from mal.formats.folders import ReadOptions
from mal.formats.recognize import input_format
from mal.formats.tally import Tally
from mal.formats.yolo_in import read_yolo

LINES = "0 0.5 0.5 0.2 0.2\n1 0.3 0.3 0.1 0.2\n"


def picture(path, label=None, lines=LINES):
    for file in (path, label or path.with_suffix(".txt")):
        file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (100, 50)).save(path)
    (label or path.with_suffix(".txt")).write_text(lines)


def split(folder, name, lines=LINES):
    """A picture in images/<name>, its labels in labels/<name>."""
    picture(folder / "images" / name / f"{name}.png", folder / "labels" / name / f"{name}.txt", lines)


def described(folder, **document):
    path = folder / "data.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def counts(path, tally=None, **options):
    coco, _ = read_yolo(path, ReadOptions(**options), tally or Tally())
    return len(coco.images), len(coco.annotations)


@pytest.fixture
def roboflow(tmp_path):
    for part in ("train", "valid", "test"):
        picture(tmp_path / part / "images" / f"{part}.png", tmp_path / part / "labels" / f"{part}.txt")
    (tmp_path / "README.dataset.txt").write_text("by somebody\n")
    places = {"train": "../train/images", "val": "../valid/images", "test": "../test/images"}
    return described(tmp_path, **places, nc=2, names=["a", "b"])


def test_the_folders_of_a_roboflow_download_are_found_beside_its_data_yaml(roboflow):
    assert counts(roboflow) == (3, 6)


@pytest.mark.parametrize("options", [{}, {"split": "train"}])
def test_labels_of_given_pictures_are_looked_for_in_the_folder_beside_them(roboflow, options):
    assert counts(roboflow, images=roboflow.parent / "train/images", **options) == (1, 2)


def test_a_path_of_another_machine_is_found_by_its_end(roboflow):
    described(roboflow.parent, train="/content/project-1/train/images", names=["a", "b"])
    assert counts(roboflow) == (1, 2)


def test_darknet_and_cvat_keep_a_list_of_pictures_under_data(tmp_path):
    picture(tmp_path / "obj_train_data/1.png")
    (tmp_path / "obj.names").write_text("a\nb\n")
    (tmp_path / "train.txt").write_text("data/obj_train_data/1.png\n")
    (tmp_path / "obj.data").write_text(
        "classes = 2\ntrain = data/train.txt\nnames = data/obj.names\nbackup = backup/\n"
    )
    for path in (tmp_path, tmp_path / "obj.data"):
        assert input_format(path) == "yolo"
        assert counts(path) == (1, 2)


def test_a_cvat_export_without_pictures_takes_them_from_elsewhere(tmp_path):
    test_darknet_and_cvat_keep_a_list_of_pictures_under_data(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "obj_train_data/1.png").rename(tmp_path / "photos/1.png")
    assert counts(tmp_path, images=tmp_path / "photos") == (1, 2)
    with pytest.raises(UserError, match=r"obj_train_data/1\.png does not exist"):
        counts(tmp_path)


def test_a_split_may_name_single_pictures(tmp_path):
    split(tmp_path, "train")
    assert counts(described(tmp_path, path=".", train=["images/train/train.png"], names=["a", "b"])) == (1, 2)


@pytest.mark.parametrize("key", ["val", "validation", "valid"])
def test_the_validation_split_has_three_spellings(tmp_path, key):
    split(tmp_path, "train")
    split(tmp_path, "val")
    path = described(tmp_path, **{"train": "images/train", key: "images/val"}, names=["a", "b"])
    assert counts(path) == (2, 4)
    assert counts(path, split="val") == (1, 2)


def test_a_split_of_any_other_name_is_read_too(tmp_path):
    split(tmp_path, "train")
    split(tmp_path, "night")
    assert counts(described(tmp_path, train="images/train", night="images/night", names=["a", "b"])) == (2, 4)


def test_a_folder_that_is_train_and_val_is_read_once_and_said(tmp_path):
    split(tmp_path, "train")
    tally = Tally()
    path = described(tmp_path, train="images/train", val="images/../images/train", names=["a", "b"])
    assert counts(path, tally) == (1, 2)
    assert tally.changed == {"a picture that is named twice is read once": ["train.png"]}


@pytest.mark.parametrize(
    ("classes", "names"),
    [
        ({"names": {"0": "a", "1": "b"}}, {1: "a", 2: "b"}),
        ({"names": {0: "a", 1: "b", 7: "c"}}, {1: "a", 2: "b", 8: "c"}),
        ({"nc": 2}, {1: "class_0", 2: "class_1"}),
    ],
)
def test_names_may_have_keys_of_text_and_gaps_or_be_a_number_alone(tmp_path, classes, names):
    split(tmp_path, "train")
    coco, _ = read_yolo(described(tmp_path, train="images/train", **classes), ReadOptions(), Tally())
    assert coco.categories == names


def test_thirty_thousand_names_are_checked_once_each(tmp_path):
    split(tmp_path, "x")
    (tmp_path / "classes.txt").write_text("".join(f"n{number}\n" for number in range(30_000)))
    coco, _ = read_yolo(tmp_path, ReadOptions(), Tally())
    assert len(coco.categories) == 30_000


@pytest.mark.parametrize("text", ["names: " + "[" * 3000, "names: &n [*n]"])
def test_a_description_that_goes_on_for_ever_is_named(tmp_path, text):
    (tmp_path / "data.yaml").write_text(text)
    with pytest.raises(UserError, match=r"data\.yaml cannot be read as YAML"):
        counts(tmp_path)


@pytest.mark.parametrize(("shape", "points"), [([2, 3], "0.5 0.5 2 0.55 0.55 2"), ([3, 2], "0.5 0.5 0.6 0.6 0.7 0.7")])
def test_a_pose_is_its_box_and_its_key_points_are_counted(tmp_path, shape, points):
    split(tmp_path, "train", f"0 0.5 0.5 0.2 0.2 {points}\n0 0.5 0.5 0.2 0.2 {points} 0.75\n")
    tally = Tally()
    path = described(tmp_path, train="images/train", kpt_shape=shape, names=["a"])
    coco, _ = read_yolo(path, ReadOptions(), tally)
    assert [(record["bbox"], record.get("score")) for record in coco.annotations] == [
        ([40, 20, 20, 10], None),
        ([40, 20, 20, 10], 0.75),
    ]
    assert not any("segmentation" in record for record in coco.annotations)
    assert tally.lost == {"key points (of such lines the box is read)": 2}


def test_a_line_that_does_not_fit_kpt_shape_is_named(tmp_path):
    split(tmp_path, "train", "0 0.1 0.1 0.2 0.1 0.2 0.3\n")
    with pytest.raises(UserError, match="by kpt_shape a line has 11"):
        counts(described(tmp_path, train="images/train", kpt_shape=[2, 3], names=["a"]))


def test_a_segment_keeps_its_confidence(tmp_path):
    split(tmp_path, "train", "0 0.1 0.1 0.5 0.1 0.5 0.5 0.93\n")
    coco, _ = read_yolo(described(tmp_path, train="images/train", names=["a"]), ReadOptions(), Tally())
    (record,) = coco.annotations
    assert (record["segmentation"], record["score"]) == ([[10, 5, 50, 5, 50, 25]], 0.93)


def test_a_class_may_be_written_as_a_float(tmp_path):
    split(tmp_path, "train", "1.0 0.5 0.5 0.2 0.2\n")
    coco, _ = read_yolo(described(tmp_path, train="images/train", names=["a", "b"]), ReadOptions(), Tally())
    assert coco.annotations[0]["category_id"] == 2


def test_pictures_labels_and_classes_may_lie_in_one_folder(tmp_path):
    picture(tmp_path / "1.png")
    (tmp_path / "classes.txt").write_text("a\nb\n")
    assert input_format(tmp_path) == "yolo"
    assert counts(tmp_path) == (1, 2)


def test_a_data_yaml_beside_a_dataset_yaml_is_the_one_read(tmp_path):
    split(tmp_path, "train")
    path = described(tmp_path, train="images/train", names=["a", "b"])
    (tmp_path / "dataset.yaml").write_bytes(path.read_bytes())
    assert counts(tmp_path) == (1, 2)


def test_pictures_without_any_labels_are_an_error_that_says_where_they_were_looked_for(tmp_path):
    split(tmp_path, "train")
    (tmp_path / "labels/train/train.txt").unlink()
    with pytest.raises(UserError, match=r"labels/train/train\.txt is missing"):
        counts(described(tmp_path, train="images/train", names=["a"]))


def test_relative_and_absolute_pictures_have_a_folder_in_common(tmp_path, monkeypatch):
    split(tmp_path / "ds", "train")
    split(tmp_path / "far", "val")
    monkeypatch.chdir(tmp_path)
    described(tmp_path / "ds", train="images/train", val=[str(tmp_path / "far/images/val")], names=["a", "b"])
    coco, folder = read_yolo(tmp_path.joinpath("ds").relative_to(tmp_path), ReadOptions(), Tally())
    assert folder == tmp_path
    assert [image.file_name for image in coco.images.values()] == [
        "ds/images/train/train.png",
        "far/images/val/val.png",
    ]
