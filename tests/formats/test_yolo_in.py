from __future__ import annotations

import shutil

import pytest
import yaml
from PIL import Image

from mal.errors import UserError
from mal.formats.folders import ReadOptions
from mal.formats.tally import Tally
from mal.formats.yolo_in import read_yolo
from tests.formats.small_coco import RING, annotation, coco_of, document, written


def data_set(folder, *lines, names=("bolt", "nut"), split="train"):
    """One picture of 200 x 100 with these lines as its labels."""
    for part in ("images", "labels"):
        (folder / part / split).mkdir(parents=True)
    Image.new("RGB", (200, 100)).save(folder / "images" / split / "a.png")
    (folder / "labels" / split / "a.txt").write_text("".join(f"{line}\n" for line in lines))
    description = {"path": "/nowhere/now", split: f"images/{split}", "names": names}
    (folder / "dataset.yaml").write_text(yaml.safe_dump(description))
    return folder


def read(path, **options):
    return read_yolo(path, ReadOptions(**options), Tally())


def test_boxes_are_shares_of_the_picture_around_their_centre(tmp_path):
    coco, images = read(data_set(tmp_path, "1 0.5 0.5 0.25 0.5", "0 0.05 0.1 0.1 0.2"))
    assert [record["bbox"] for record in coco.annotations] == [[75, 25, 50, 50], [0, 0, 20, 20]]
    assert [record["category_id"] for record in coco.annotations] == [2, 1]
    assert coco.document["images"] == [{"file_name": "a.png", "width": 200, "height": 100, "id": 1}]
    assert images == tmp_path / "images/train"


@pytest.mark.parametrize("names", [["bolt", "nut"], {0: "bolt", 1: "nut"}])
def test_class_names_are_a_list_or_numbered(tmp_path, names):
    coco, _ = read(data_set(tmp_path, names=names))
    assert coco.categories == {1: "bolt", 2: "nut"}


def test_a_polygon_line_becomes_a_polygon_with_the_box_around_it(tmp_path):
    coco, _ = read(data_set(tmp_path, "0 0.1 0.1 0.2 0.1 0.2 0.3 0.1 0.3"))
    (record,) = coco.annotations
    assert record["segmentation"] == [[20, 10, 40, 10, 40, 30, 20, 30]]
    assert (record["bbox"], record["area"]) == ([20, 10, 20, 20], 400)


def test_the_confidence_of_a_prediction_becomes_its_score(tmp_path):
    coco, _ = read(data_set(tmp_path, "0 0.5 0.5 0.25 0.5 0.875"))
    assert coco.annotations[0]["score"] == 0.875


def test_a_folder_with_classes_txt_will_do(tmp_path):
    folder = data_set(tmp_path, "1 0.5 0.5 0.25 0.5")
    (folder / "dataset.yaml").unlink()
    (folder / "classes.txt").write_text("bolt\nnut\n")
    coco, _ = read(folder)
    assert coco.categories[coco.annotations[0]["category_id"]] == "nut"


def test_one_split_or_all_of_them_are_read(tmp_path):
    data_set(tmp_path, "0 0.5 0.5 0.25 0.5")
    for part in ("images", "labels"):
        shutil.copytree(tmp_path / part / "train", tmp_path / part / "val")
    description = {"train": "images/train", "val": ["images/val"], "names": ["bolt"]}
    (tmp_path / "dataset.yaml").write_text(yaml.safe_dump(description))
    both, folder = read(tmp_path)
    assert [record.file_name for record in both.images.values()] == ["train/a.png", "val/a.png"]
    assert folder == tmp_path / "images"
    one, folder = read(tmp_path, split="val")
    assert ([record.file_name for record in one.images.values()], folder) == (["a.png"], tmp_path / "images/val")
    with pytest.raises(UserError, match="no split test; it has train, val"):
        read(tmp_path, split="test")


def test_pictures_may_lie_elsewhere(tmp_path):
    folder = data_set(tmp_path / "set", "0 0.5 0.5 0.25 0.5")
    (folder / "images").rename(tmp_path / "photos")
    coco, _ = read(folder, images=tmp_path / "photos" / "train")
    assert len(coco.annotations) == 1


def test_a_label_file_without_its_picture_is_named(tmp_path):
    folder = data_set(tmp_path, "0 0.5 0.5 0.25 0.5")
    (folder / "labels/train/b.txt").write_text("0 0.5 0.5 0.25 0.5\n")
    with pytest.raises(UserError, match=r"b\.txt: no picture of that name"):
        read(folder, images=folder / "images/train")
    with pytest.raises(UserError, match=r"b\.txt: no picture of that name"):
        read(folder)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("2 0.5 0.5 0.25 0.5", "class 2 is not among the 2 names"),
        ("x 0.5 0.5 0.25 0.5", "class 'x' is not a number"),
        ("0 0.5 0.5 0.25", "4 words"),
        ("0 0.5 0.5 nut 0.5", "not a number"),
        ("0 0.5 0.5 0 0.5", "no extent"),
        ("0 100 50 40 20", "not a share of the image"),
        ("0 0.1 0.1 0.2 0.1 0.2 0.3 2", "not a share"),
        ("0.5 0.5 0.5 0.25 0.5", "class '0.5' is not a number"),
        ("0 0.5 0.5 0.2 0.2 0.5 0.5 2 0.6 0.6 1", "kpt_shape"),
        ("0 nan 0.5 0.25 0.5", "not a share"),
    ],
)
def test_a_broken_line_is_named_with_its_file_and_number(tmp_path, line, words):
    folder = data_set(tmp_path, "0 0.5 0.5 0.25 0.5", line)
    with pytest.raises(UserError) as error:
        read(folder)
    assert f"{folder}/labels/train/a.txt, line 2: " in str(error.value)
    assert words in str(error.value)
    tally = Tally(skip_broken=True)
    coco, _ = read_yolo(folder, ReadOptions(), tally)
    assert len(coco.annotations) == 1
    assert list(tally.left_out.values()) == [[f"{folder}/labels/train/a.txt, line 2"]]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("path: .", "class names"),
        ("nc: x", "nc is 'x'"),
        ("names: [[a]]", "class 0 is no text"),
        ("names: 3", "names must be"),
        ("names: [a, a]", "two classes"),
        ("{", "YAML"),
    ],
)
def test_a_broken_description_is_named(tmp_path, content, words):
    (tmp_path / "dataset.yaml").write_text(content)
    with pytest.raises(UserError, match=words):
        read(tmp_path)


def test_boxes_written_are_the_boxes_read(tmp_path):
    content = document(annotation(5, None), annotation(6, RING))
    written(coco_of(tmp_path, content), tmp_path / "out", "yolo")
    again, _ = read(tmp_path / "out", images=tmp_path / "pictures")
    assert [record["bbox"] for record in again.annotations] == [record["bbox"] for record in content["annotations"]]
    assert [again.categories[record["category_id"]] for record in again.annotations] == ["nut & co"] * 2
    assert [record.file_name for record in again.images.values()] == ["a.png", "deep/b.c.png"]


def test_what_yolo_has_no_place_for_is_counted(tmp_path):
    content = document(annotation(5, None), annotation(6, RING), annotation(7, RING, iscrowd=1))
    tally = written(coco_of(tmp_path, content), tmp_path / "out", "yolo")
    assert tally.left_out == {"YOLO has no groups (iscrowd)": ["annotation 7 of a.png"]}
    assert tally.lost["ids of annotations"] == 2
    assert tally.lost["masks (--to yolo-seg keeps them)"] == 1
    assert tally.lost["other keys of annotations (note)"] == 2
    tally = written(coco_of(tmp_path, content), tmp_path / "seg", "yolo-seg")
    assert tally.left_out["no mask (--to yolo keeps the box)"] == ["annotation 5 of a.png"]


def test_a_box_beyond_the_image_is_limited_and_said(tmp_path):
    records = [annotation(5, None, bbox=[-4, 2, 8, 4]), annotation(6, None, bbox=[20, 2, 8, 4])]
    tally = written(coco_of(tmp_path, document(*records)), tmp_path / "out", "yolo")
    again, _ = read(tmp_path / "out", images=tmp_path / "pictures")
    assert [record["bbox"] for record in again.annotations] == [[0, 2, 4, 4]]
    assert list(tally.changed.values()) == [["annotation 5 of a.png"]]
    assert list(tally.left_out.values()) == [["annotation 6 of a.png"]]


@pytest.mark.parametrize("pictures", ["copy", "link"])
def test_pictures_come_along_when_asked_for(tmp_path, pictures):
    coco = coco_of(tmp_path, document(annotation(6, RING)))
    written(coco, tmp_path / "out", "yolo", pictures=pictures, images=tmp_path / "pictures", split="val")
    again, folder = read(tmp_path / "out")
    assert (len(again.annotations), folder) == (1, tmp_path / "out/images/val")
    assert (folder / "a.png").is_symlink() == (pictures == "link")


def test_two_images_that_would_share_a_label_file_are_refused(tmp_path):
    content = document(annotation(6, RING))
    content["images"][1]["file_name"] = "a.jpg"
    with pytest.raises(UserError, match=r"a\.png and a\.jpg would share"):
        written(coco_of(tmp_path, content), tmp_path / "out", "yolo")
    assert not (tmp_path / "out").exists()
