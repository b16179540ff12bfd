"""The real photos that come with the package, and their credits."""

from __future__ import annotations

import json

from PIL import Image

from mal.coco.coco_file import read_coco
from mal.data.loaders import AnnotatedImages
from mal.sample.photos import write_photos

CC_BY = "http://creativecommons.org/licenses/by/2.0/"
MOST_BYTES = 1e6


def test_all_boxes_lie_in_their_photos_and_hold_no_masks(tmp_path):
    photos = write_photos(tmp_path)
    source = AnnotatedImages(photos.boxes, photos.images)
    assert 6 <= len(source.coco.images) <= 10
    assert len(source.boxes_to_label) == len(source.coco.annotations) > 40
    assert not source.coco.notes
    assert not any("segmentation" in each for each in source.coco.annotations)
    for image in source.coco.images.values():
        with Image.open(photos.images / image.file_name) as photo:
            assert photo.size == (image.width, image.height)


def test_every_photo_is_under_a_license_that_allows_it_and_is_credited(tmp_path):
    photos = write_photos(tmp_path)
    document = json.loads(photos.boxes.read_text())
    credits = (tmp_path / "CREDITS.md").read_text()
    (license_,) = document["licenses"]
    assert license_["url"] == CC_BY
    for image in document["images"]:
        assert image["license"] == license_["id"]
        assert image["file_name"] in credits
        assert image["flickr_url"] in credits
        assert image["credit"]


def test_no_network_of_the_package_was_trained_on_them(tmp_path, repository):
    listed = (repository / "starter" / "pictures.csv").read_text()
    assert not [name for name in _names(tmp_path) if name in listed]


def test_together_they_are_small(tmp_path):
    write_photos(tmp_path)
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) < MOST_BYTES


def _names(folder) -> list[str]:
    return [image.file_name for image in read_coco(write_photos(folder).boxes).images.values()]
