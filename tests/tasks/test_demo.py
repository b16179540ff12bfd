from __future__ import annotations

import json

import pytest
from PIL import Image
from pycocotools.coco import COCO

from mal.errors import UserError
from mal.tasks import demo

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def out_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "demo"
    assert demo.run(folder, quick=True) == 0
    return folder


def test_the_demo_goes_from_boxes_to_masks_and_pictures(out_dir):
    labels = COCO(out_dir / "inference" / "masks.json")
    boxes = json.loads((out_dir / "sample" / "annotations" / "boxes_val.json").read_text(encoding="utf-8"))
    assert sorted(labels.anns) == sorted(annotation["id"] for annotation in boxes["annotations"])
    assert "mIoU" in (out_dir / "demo.html").read_text(encoding="utf-8")
    with Image.open(out_dir / "demo.png") as picture:
        assert picture.width > 1000


def test_the_demo_leaves_reports_of_the_evaluation_and_of_the_labels(out_dir):
    of_evaluation = (out_dir / "evaluate" / "report.html").read_text(encoding="utf-8")
    assert "Training: losses" in of_evaluation
    assert '"disagreement":' in of_evaluation
    assert (out_dir / "inference" / "report.html").is_file()
    assert (out_dir / "inference" / "review_queue.csv").is_file()


def test_the_demo_labels_real_photos_and_shows_them(out_dir):
    masks = COCO(out_dir / "photos_masks" / "masks.json")
    assert all(each["area"] for each in masks.anns.values())
    page = (out_dir / "demo.html").read_text(encoding="utf-8")
    assert all(image["credit"] in page for image in masks.imgs.values())
    assert (out_dir / "photos" / "CREDITS.md").is_file()


def test_the_demo_trains_on_a_file_without_masks(out_dir):
    training = json.loads((out_dir / "sample" / "annotations" / "boxes_train.json").read_text(encoding="utf-8"))
    assert not any("segmentation" in annotation for annotation in training["annotations"])
    assert "boxes_train.json" in (out_dir / "train" / "spec.yaml").read_text(encoding="utf-8")


def test_a_second_demo_replaces_the_first(out_dir):
    first = (out_dir / "train" / "status.json").stat().st_size
    demo.run(out_dir, quick=True)
    assert (out_dir / "train" / "status.json").stat().st_size == pytest.approx(first, rel=0.1)


def test_a_folder_with_other_things_is_left_alone(tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(UserError, match="holds no earlier demo"):
        demo.run(tmp_path, quick=True)
    assert (tmp_path / "train" / "mine.txt").is_file()
