from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mal.data.coco import read_coco
from mal.data.datamodule import AnnotatedImages
from mal.data.image_table import ImageRecord
from mal.data.images import read_image, read_record_image
from mal.errors import UserError
from mal.places import on_this_disk, place
from tests.data.coco_samples import annotation, document

fsspec = pytest.importorskip("fsspec", reason="URLs are read by fsspec")
pytest.importorskip("upath", reason="URLs are read by universal-pathlib (the extra [cloud])")


@pytest.fixture
def store(tmp_path):
    """A file system in memory that holds a COCO file and its picture."""
    Image.fromarray(np.full((80, 100, 3), 40, np.uint8)).save(tmp_path / "a.jpg")
    content = document(annotation())
    content["images"][0] |= {"file_name": "deep/a.jpg"}
    memory = fsspec.filesystem("memory")
    memory.pipe("/bucket/boxes.json", json.dumps(content).encode())
    memory.pipe("/bucket/images/deep/a.jpg", (tmp_path / "a.jpg").read_bytes())
    memory.pipe("/bucket/images/b.jpg", b"no picture")
    yield "memory://bucket"
    memory.rm("/bucket", recursive=True)


def record(file_name):
    return ImageRecord(1, file_name, 100, 80, 0)


def test_a_coco_file_and_its_pictures_are_read_from_urls(store):
    source = AnnotatedImages(f"{store}/boxes.json", f"{store}/images")
    assert str(source.coco.path) == f"{store}/boxes.json"
    assert len(source.boxes_to_label) == 1
    assert read_record_image(source.img_dir, source.boxes_to_label[0].image).shape == (80, 100, 3)


def test_a_size_that_the_record_lacks_is_read_from_the_url(store):
    file = json.loads(fsspec.filesystem("memory").cat("/bucket/boxes.json"))
    del file["images"][0]["width"]
    fsspec.filesystem("memory").pipe("/bucket/boxes.json", json.dumps(file).encode())
    source = AnnotatedImages(f"{store}/boxes.json", f"{store}/images")
    assert "100 x 80" in source.notes[-1].reason


def test_a_url_of_this_machine_is_a_plain_path(tmp_path):
    assert place(f"file://{tmp_path}/a.json") == tmp_path / "a.json"
    assert place(str(tmp_path)) == tmp_path


def test_a_missing_file_is_named_by_its_url(store):
    with pytest.raises(UserError, match=f"{store}/other.json: cannot be read"):
        read_coco(place(f"{store}/other.json"))


def test_a_damaged_file_is_named_by_its_url(store):
    fsspec.filesystem("memory").pipe("/bucket/boxes.json", b'{"images": [')
    with pytest.raises(UserError, match=f"{store}/boxes.json is cut off"):
        read_coco(place(f"{store}/boxes.json"))


@pytest.mark.parametrize(
    ("name", "words"), [("c.jpg", "does not exist"), ("b.jpg", "is not a picture"), ("../boxes.json", "leads out of")]
)
def test_a_picture_that_cannot_be_read_is_named(store, name, words):
    with pytest.raises(UserError, match=words):
        read_record_image(place(f"{store}/images"), record(name))


def test_a_store_without_its_package_says_which_one(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "s3fs", None)
    with pytest.raises(UserError, match=r"s3://bucket/a\.json: cannot be read here: .*s3fs"):
        place("s3://bucket/a.json")


def test_an_unknown_kind_of_url_is_refused():
    with pytest.raises(UserError, match=r"zzz://bucket/a\.json: cannot be read here"):
        place("zzz://bucket/a.json")


def test_a_local_file_is_not_copied(tmp_path):
    (tmp_path / "a.txt").write_text("a")
    assert on_this_disk(tmp_path / "a.txt") == tmp_path / "a.txt"


def test_a_picture_behind_a_url_is_the_same_as_on_the_disk(store, tmp_path):
    remote = read_image(place(f"{store}/images/deep/a.jpg"))
    np.testing.assert_array_equal(remote, read_image(Path(tmp_path / "a.jpg")))
