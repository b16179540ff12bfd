"""Names of pictures that changed on their way between systems: the file that is there is offered."""

from __future__ import annotations

import unicodedata
from pathlib import PureWindowsPath
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from mal.coco.tables import ImageRecord
from mal.data import near_names
from mal.data.images import image_path, read_record_image
from mal.data.near_names import near_hint
from mal.errors import UserError


@pytest.fixture
def folder(tmp_path):
    """A folder of pictures with one below it."""
    (tmp_path / "images/train").mkdir(parents=True)
    for name in ("photo.jpg", "train/other.jpg", unicodedata.normalize("NFD", "café.jpg")):
        Image.new("RGB", (16, 12)).save(tmp_path / "images" / name)
    near_names._listing.cache_clear()
    return tmp_path / "images"


def refusal(folder, name: str) -> str:
    with pytest.raises(UserError) as error:
        read_record_image(folder, ImageRecord(1, name, 16, 12, 0))
    return str(error.value)


@pytest.mark.parametrize(
    ("name", "there"),
    [
        ("Photo.JPG", "photo.jpg"),
        ("train\\other.jpg", "train/other.jpg"),
        ("Train/other.jpg", "train/other.jpg"),
        ("train%2Fother.jpg", "train/other.jpg"),
        ("images/photo.jpg", "photo.jpg"),
        ("other.jpg", "train/other.jpg"),
        ("data/images/train/other.jpg", "train/other.jpg"),
    ],
)
def test_the_file_that_is_there_is_offered(folder, name, there):
    assert f"does not exist; {folder / there} is there: check the image folder" in refusal(folder, name)


@pytest.mark.parametrize("name", ["/home/user/data/images/photo.jpg", "../../images/photo.jpg", "C:\\data\\photo.jpg"])
def test_the_file_of_a_path_on_another_machine_is_offered(folder, name):
    assert "photo.jpg is there" in refusal(folder, name)


def test_another_unicode_form_is_said_to_be_one(folder):
    assert refusal(folder, "café.jpg").endswith(
        " is there, the same name in another Unicode form: check the image folder and the file name"
    )


@pytest.mark.parametrize("name", ["nothing.jpg", "val/other.jpg", "val/photo2.jpg"])
def test_nothing_is_offered_where_nothing_is_alike(folder, name):
    assert "is there" not in refusal(folder, name)


def test_a_backslash_that_is_part_of_a_name_is_found(folder):
    Image.new("RGB", (16, 12)).save(folder / "train\\photo.jpg")
    assert read_record_image(folder, ImageRecord(1, "train\\photo.jpg", 16, 12, 0)).shape == (12, 16, 3)


def test_a_folder_is_listed_once(folder, monkeypatch):
    listed = []
    scandir = near_names.os.scandir
    monkeypatch.setattr(near_names.os, "scandir", lambda path: listed.append(path) or scandir(path))
    for number in range(20):
        refusal(folder, f"missing{number}.jpg")
    assert len(listed) == 2


def test_a_folder_of_too_many_files_is_not_listed_to_its_end(folder, monkeypatch):
    monkeypatch.setattr(near_names, "MAX_LISTED_FILES", 1)
    assert near_hint(folder / "Train/other.jpg") == ""


@given(
    name=st.from_regex(r"[a-zA-Zé ü1-9_]{1,8}\.jpg", fullmatch=True),
    change=st.sampled_from([str.upper, str.lower, quote, lambda name: unicodedata.normalize("NFD", name)]),
    prefix=st.sampled_from(["", "data/images/", "./"]),
    windows=st.booleans(),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_every_change_of_a_name_offers_the_file_or_finds_it(tmp_path, name, change, prefix, windows):
    near_names._listing.cache_clear()
    (tmp_path / name).touch()
    changed = prefix + change(name)
    path = image_path(tmp_path, str(PureWindowsPath(changed)) if windows else changed)
    assert path.exists() or near_hint(path)
    (tmp_path / name).unlink()
