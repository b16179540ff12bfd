"""What is opened as a picture, what is not, and what is said of it."""

from __future__ import annotations

import io
import os
import socket
import warnings

import numpy as np
import pytest
from PIL import Image

from mal.data.images import opened_picture, read_image
from mal.data.picture_file import FORMATS, picture_in
from mal.errors import UserError
from mal.formats.folders import SUFFIXES
from mal.limits import MAX_IMAGE_PIXELS
from mal.reading import Reading
from tests.data.jpegs import photo_like

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n0 0 9 9 rectfill\nshowpage\n%%EOF\n"
MEGAPIXELS = r"196 megapixels, where the limit is 178 megapixels: raise it with --max-megapixels"


def refusal(path) -> str:
    """The error of reading a picture, which must be that of looking at its header."""
    with pytest.raises(UserError) as of_reading:
        read_image(path)
    with pytest.raises(UserError) as of_header, opened_picture(path, Reading().max_pixels):
        pass
    assert str(of_reading.value) == str(of_header.value)
    return str(of_reading.value)


def test_no_program_is_started_for_a_picture(tmp_path, monkeypatch):
    interpreter = tmp_path / "gs"
    interpreter.write_text(f"#!/bin/sh\ntouch {tmp_path}/was_run\n")
    interpreter.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", None)  # Pillow has not looked for it yet
    (tmp_path / "photo.jpg").write_bytes(EPS)
    assert "is a PostScript or EPS drawing, not a picture" in refusal(tmp_path / "photo.jpg")
    assert not (tmp_path / "was_run").exists()


@pytest.mark.parametrize("name", ["PCX", "TGA", "SGI", "ICO", "DDS", "JPEG2000"])
def test_formats_that_are_not_read_are_not_opened(tmp_path, name):
    Image.new("RGB", (16, 16)).save(tmp_path / "photo.jpg", name)
    assert "photo.jpg" in refusal(tmp_path / "photo.jpg")


@pytest.mark.parametrize("suffix", sorted(SUFFIXES))
def test_every_format_whose_files_are_found_in_folders_is_read(tmp_path, suffix):
    picture = Image.new("L" if suffix == ".pgm" else "RGB", (16, 12))
    picture.save(tmp_path / f"photo{suffix}")
    with opened_picture(tmp_path / f"photo{suffix}") as found:
        assert found.format in FORMATS


def test_the_content_decides_and_not_the_name(tmp_path):
    Image.new("RGB", (16, 12)).save(tmp_path / "photo.PNG", "JPEG")
    assert read_image(tmp_path / "photo.PNG").shape == (12, 16, 3)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "photo.jpg")
    assert refusal(tmp_path / "photo.jpg").endswith("photo.jpg is no plain file but a pipe: nothing is read from it")


def test_a_device_that_never_ends_is_not_read(tmp_path):
    (tmp_path / "photo.jpg").symlink_to("/dev/zero")
    assert "is no plain file but a device" in refusal(tmp_path / "photo.jpg")


def test_a_socket_is_not_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the name of a socket must be short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("photo.jpg")
        assert "is no plain file but a socket" in refusal(tmp_path / "photo.jpg")


def test_a_file_without_end_is_not_read_to_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr("mal.data.images.MAX_PICTURE_BYTES", 2**20)
    Image.new("RGB", (16, 12)).save(tmp_path / "photo.png")
    os.truncate(tmp_path / "photo.png", 2**40)
    with pytest.raises(UserError, match=r"photo\.png has more than 0\.000977 GiB"):
        read_image(tmp_path / "photo.png")


@pytest.mark.parametrize("name", ["photo.png", "photo.tif", "photo.bmp", "photo.gif"])
def test_a_huge_picture_is_refused_with_the_limit_and_how_to_raise_it(tmp_path, name):
    Image.new("1", (14000, 14000)).save(tmp_path / name)
    assert MEGAPIXELS in refusal(tmp_path / name).replace("\n", " ")


def test_a_limit_that_was_raised_lets_a_huge_picture_in(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    Image.new("RGB", (64, 48)).save(tmp_path / "photo.webp")
    with (tmp_path / "photo.webp").open("rb") as file, picture_in(file, "it", max_pixels=64 * 48) as picture:
        assert np.asarray(picture).shape == (48, 64, 3)


def test_a_large_picture_is_read_without_a_warning(tmp_path):
    Image.new("1", (10000, 10000)).save(tmp_path / "photo.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with opened_picture(tmp_path / "photo.png") as picture:
            picture.load()


def test_the_limit_of_pillow_stays_as_it_is_for_others(tmp_path):
    before = Image.MAX_IMAGE_PIXELS
    Image.new("RGB", (16, 12)).save(tmp_path / "photo.png")
    read_image(tmp_path / "photo.png")
    assert before == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty, not a picture"),
        (
            b"version https://git-lfs.github.com/spec/v1\nsize 9\n",
            "is a Git LFS pointer, not a picture",
        ),
        (b"<!DOCTYPE html><html></html>", "is a web page (HTML), not a picture"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "is a HEIC picture: save it as PNG or JPEG"),
        (b"\x1f\x8b\x08\0\0\0\0\0", "is a gzip file, not a picture"),
        (b"%PDF-1.7\n", "is a PDF document, not a picture"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp41", "is a video, not a picture"),
        (b"\xff\xd8\xff\xe0", "is not a picture that can be read, or its first bytes are damaged"),
    ],
)
def test_what_is_no_picture_is_said_to_be_what_it_is(tmp_path, content, said):
    (tmp_path / "photo.jpg").write_bytes(content)
    assert said in refusal(tmp_path / "photo.jpg")


@pytest.mark.parametrize("fault", [MemoryError(), OSError("out of memory when reading image file")])
def test_too_little_memory_is_not_told_as_damage(tmp_path, monkeypatch, fault):
    def fail(*_):
        raise fault

    Image.new("RGB", (16, 12)).save(tmp_path / "photo.png")
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", fail)
    with pytest.raises(UserError, match=r"not enough memory to read image .*photo\.png"):
        read_image(tmp_path / "photo.png")


def test_too_little_memory_for_a_jpeg_is_not_told_as_damage(tmp_path, monkeypatch):
    def fail(*_):
        raise ValueError("Insufficient memory (case 4)")

    Image.new("RGB", (16, 12)).save(tmp_path / "photo.jpg")
    monkeypatch.setattr("simplejpeg.decode_jpeg", fail)
    with pytest.raises(UserError, match=r"not enough memory to read image .*photo\.jpg"):
        read_image(tmp_path / "photo.jpg")


def test_a_picture_in_memory_is_opened_like_a_file():
    buffer = io.BytesIO()
    Image.new("L", (16, 12)).save(buffer, "PNG")
    with picture_in(io.BytesIO(buffer.getvalue()), "the mask", MAX_IMAGE_PIXELS) as picture:
        assert picture.size == (16, 12)
    with pytest.raises(UserError, match="the mask is a PostScript"), picture_in(io.BytesIO(EPS), "the mask", None):
        pass


def test_a_hole_in_a_lossy_webp_cannot_be_told(tmp_path):
    buffer = io.BytesIO()
    photo_like().save(buffer, "WEBP", quality=80)
    content = bytearray(buffer.getvalue())
    content[len(content) // 2 : len(content) // 2 + 60] = bytes(60)
    (tmp_path / "photo.webp").write_bytes(content)
    assert read_image(tmp_path / "photo.webp").shape == (120, 160, 3)


def test_the_first_frame_of_a_gif_is_read(tmp_path):
    frames = [Image.new("L", (16, 12), value) for value in (200, 50)]
    frames[0].save(tmp_path / "photo.gif", save_all=True, append_images=frames[1:])
    assert (read_image(tmp_path / "photo.gif") == 200).all()
