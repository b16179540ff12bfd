from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from mal.sample.generate import SamplePaths, make_sample
from mal.sample.shapes import CATEGORY_NAMES


@pytest.fixture(scope="module")
def sample(tmp_path_factory) -> SamplePaths:
    return make_sample(tmp_path_factory.mktemp("sample"), num_train_images=4, num_val_images=3, image_size=(128, 96))


def test_every_picture_is_there_in_its_stated_size(sample):
    for images_dir, instances, count in (
        (sample.train_images, sample.instances_train, 4),
        (sample.val_images, sample.instances_val, 3),
    ):
        records = json.loads(instances.read_text())["images"]
        assert len(records) == count == len(list(images_dir.iterdir()))
        for record in records:
            with Image.open(images_dir / record["file_name"]) as image:
                assert image.size == (record["width"], record["height"]) == (128, 96)


def test_the_box_files_tell_nothing_of_the_masks(sample):
    for path in (sample.boxes_train, sample.boxes_val):
        for annotation in json.loads(path.read_text())["annotations"]:
            assert set(annotation) == {"id", "image_id", "category_id", "bbox", "iscrowd"}


def test_the_box_files_hold_the_boxes_of_the_instance_files(sample):
    boxes, instances = (json.loads(path.read_text()) for path in (sample.boxes_train, sample.instances_train))
    assert [a["bbox"] for a in boxes["annotations"]] == [a["bbox"] for a in instances["annotations"]]
    assert boxes["images"] == instances["images"]


def test_pycocotools_reads_masks_that_agree_with_boxes_and_areas(sample):
    coco = COCO(str(sample.instances_val))
    assert [category["name"] for category in coco.loadCats(coco.getCatIds())] == list(CATEGORY_NAMES)
    for annotation in coco.loadAnns(coco.getAnnIds()):
        mask = coco.annToMask(annotation)
        x, y, width, height = (int(side) for side in annotation["bbox"])
        assert mask.sum() == annotation["area"] == mask[y : y + height, x : x + width].sum()
        assert mask.any(axis=0).sum() <= width
        assert mask.any(axis=1).sum() <= height


def test_one_seed_gives_the_same_files_again(sample, tmp_path):
    again = make_sample(tmp_path, num_train_images=4, num_val_images=3, image_size=(128, 96))
    assert again.instances_train.read_bytes() == sample.instances_train.read_bytes()
    for path in sample.val_images.iterdir():
        assert (again.val_images / path.name).read_bytes() == path.read_bytes()


def test_another_seed_gives_other_pictures(sample, tmp_path):
    other = make_sample(tmp_path, num_train_images=1, num_val_images=1, seed=1, image_size=(128, 96))
    assert other.instances_train.read_bytes() != sample.instances_train.read_bytes()
    first = sample.train_images / "scene_00000.jpg"
    assert (other.train_images / first.name).read_bytes() != first.read_bytes()


def test_training_and_validation_pictures_differ(sample):
    train, val = (np.asarray(Image.open(d / "scene_00000.jpg")) for d in (sample.train_images, sample.val_images))
    assert (train != val).any()


def test_asking_for_more_pictures_leaves_the_first_ones_as_they_are(sample, tmp_path):
    more = make_sample(tmp_path, num_train_images=5, num_val_images=1, image_size=(128, 96))
    for path in sample.train_images.iterdir():
        assert (more.train_images / path.name).read_bytes() == path.read_bytes()
