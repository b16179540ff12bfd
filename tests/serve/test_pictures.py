from __future__ import annotations

import threading

import numpy as np
import pytest

from mal.errors import UserError
from mal.serve.fetch import NotAllowedError, StoppedEarly
from mal.serve.pictures import LocalFile, Pictures, Upload
from tests.serve.serving import pixels, png


@pytest.fixture
def folders(tmp_path):
    for name in ("one", "one-more", "elsewhere"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.png").write_bytes(png())
    (tmp_path / "one/link-out.png").symlink_to(tmp_path / "elsewhere/elsewhere.png")
    (tmp_path / "one/link-in.png").symlink_to(tmp_path / "one/one.png")
    (tmp_path / "one/circle.png").symlink_to(tmp_path / "one/circle.png")
    return tmp_path


def read(pictures, source):
    with pictures.opened(source) as found:
        return found


@pytest.mark.parametrize("name", ["one.png", "./one.png", "link-in.png", "{}/one/one.png"])
def test_files_below_an_allowed_folder_are_read(folders, name):
    found = read(Pictures([folders / "one"]), LocalFile(name.format(folders)))
    np.testing.assert_array_equal(found, pixels())


@pytest.mark.parametrize(
    "name",
    [
        "../elsewhere/elsewhere.png",
        "{}/elsewhere/elsewhere.png",
        "{}/one-more/one-more.png",
        "link-out.png",
        "circle.png",
        "",
        ".",
        "a\0b",
        "x" * 5000,
        "\udcff.png",
    ],
)
def test_no_other_file_is_read(folders, name):
    with pytest.raises(NotAllowedError, match="no such file below the folders of --images"):
        read(Pictures([folders / "one"]), LocalFile(name.format(folders)))


def test_without_folders_no_file_is_read(folders):
    with pytest.raises(NotAllowedError, match="allow one with --images"):
        read(Pictures(), LocalFile(str(folders / "one/one.png")))


def test_a_picture_is_decoded_once_until_its_file_changes(folders, monkeypatch):
    decoded = []
    import mal.serve.pictures as module

    decode = module.decode_image
    monkeypatch.setattr(module, "decode_image", lambda *given: decoded.append(given[1]) or decode(*given))
    pictures = Pictures([folders / "one"])
    for _ in range(3):
        read(pictures, LocalFile("one.png"))
        read(pictures, Upload(png()))
    assert len(decoded) == 2
    (folders / "one/one.png").write_bytes(png(seed=1) + b"\0")
    np.testing.assert_array_equal(read(pictures, LocalFile("one.png")), pixels(seed=1))


def test_pictures_cannot_be_written_to_by_a_request(folders):
    assert not read(Pictures(), Upload(png())).flags.writeable


def test_a_damaged_picture_is_told(folders):
    with pytest.raises(UserError, match="the picture is damaged"):
        read(Pictures(), Upload(png()[:200]))


def test_pictures_in_use_wait_for_memory_and_give_it_back():
    pictures = Pictures(max_bytes=pixels().nbytes + 1)
    order = []

    def second():
        with pictures.opened(Upload(png(seed=1))):
            order.append("second")

    with pictures.opened(Upload(png())):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.3)
        order.append("first ends")
    thread.join(30)
    assert order == ["first ends", "second"]


def test_a_wait_for_memory_ends_when_nobody_wants_the_picture():
    pictures = Pictures(max_bytes=1)
    with pictures.opened(Upload(png())), pytest.raises(StoppedEarly):
        pictures.opened(Upload(png(seed=1)), is_wanted=lambda: False).__enter__()
