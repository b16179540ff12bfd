"""Grey of more than 8 bits: what becomes black and white, and what is told of pictures that are nearly black."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mal.coco.tables import ImageRecord, ImageTable
from mal.data.image_headers import check_images
from mal.data.images import read_image
from mal.data.picture_file import UnusablePixelsError, to_rgb_pixels
from mal.data.picture_remarks import dim_line
from mal.errors import UserError
from mal.reading import Reading

TWELVE_BITS = np.linspace(192, 4080, 48 * 32).astype(np.uint16).reshape(32, 48)
USED = Reading(gray_range="used")


def table(folder, *pictures: np.ndarray, reading: Reading | None = None) -> ImageTable:
    """Records of pictures that are saved to a folder."""
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"{number}.png")
    images = ImageTable([ImageRecord(n, f"{n}.png", 48, 32, n) for n in range(len(pictures))])
    images.reading = reading or Reading()
    return images


def remarks(images: ImageTable, folder) -> str:
    return " | ".join(
        remark for _, found in check_images(images, folder) for issue in found for remark in issue.remarks
    )


def test_12_bits_in_16_are_told_in_one_line(tmp_path):
    images = table(tmp_path, TWELVE_BITS, TWELVE_BITS * 16, TWELVE_BITS)
    assert dim_line(images, tmp_path) == (
        "2 of 3 pictures with 16 bits of grey that were looked at use less than a tenth of their range (0.png, up to"
        " 6%): they are nearly black to the network; --gray-range used (dataset.gray_range) scales each picture by the"
        " range that it uses"
    )


def test_12_bits_in_16_are_remarked_by_the_check(tmp_path):
    said = remarks(table(tmp_path, TWELVE_BITS), tmp_path)
    assert "uses less than a tenth of its 16 bits of grey, so that it is nearly black: --gray-range used" in said


@pytest.mark.parametrize("picture", [TWELVE_BITS * 16, TWELVE_BITS.astype(np.uint8) // 20])
def test_there_is_nothing_to_say_of_a_range_in_full_or_of_8_bits(tmp_path, picture):
    images = table(tmp_path, picture)
    assert dim_line(images, tmp_path) is None
    assert "nearly black" not in remarks(images, tmp_path)


def test_there_is_nothing_to_say_of_pictures_that_are_scaled(tmp_path):
    images = table(tmp_path, TWELVE_BITS, reading=USED)
    assert dim_line(images, tmp_path) is None
    assert remarks(images, tmp_path) == "has grey of more than 8 bits: scaled to 8 bits over the range that it uses"


def test_few_of_many_pictures_are_looked_at(tmp_path):
    images = table(tmp_path, TWELVE_BITS)
    many = ImageTable([ImageRecord(n, "0.png", 48, 32, n) for n in range(5000)])
    assert dim_line(many, tmp_path).startswith("16 of 16 pictures")
    assert dim_line(ImageTable(), tmp_path) is None
    assert len(images) == 1


def test_the_range_in_use_becomes_black_to_white(tmp_path):
    table(tmp_path, TWELVE_BITS)
    pixels = read_image(tmp_path / "0.png", USED)
    assert (pixels.min(), pixels.max()) == (0, 255)
    assert (np.diff(pixels[:, :, 0].ravel().astype(int)) >= 0).all()


@pytest.mark.parametrize(
    "values",
    [
        np.array([[-1000, 3000]], np.int16).view(np.uint16),
        np.array([[0.25, 0.75]], np.float32),
        np.array([[-5, 2_000_000]], np.int32),
    ],
)
def test_the_range_in_use_is_known_of_every_kind_of_number(tmp_path, values):
    signed = {"tiffinfo": {339: 2}} if values.dtype == np.uint16 else {}
    Image.fromarray(values).save(tmp_path / "a.tif", **signed)
    assert read_image(tmp_path / "a.tif", USED)[0, :, 0].tolist() == [0, 255]
    with pytest.raises(UserError, match=r"no known range .*--gray-range used \(dataset\.gray_range\)"):
        read_image(tmp_path / "a.tif")


def test_pixels_that_are_no_numbers_have_no_range():
    with pytest.raises(UnusablePixelsError, match="infinite or no numbers"):
        to_rgb_pixels(Image.fromarray(np.array([[0, np.nan]], np.float32)), "used")


def test_one_value_is_black():
    assert to_rgb_pixels(Image.fromarray(np.full((2, 2), 700, np.uint16)), "used").max() == 0


@given(values=st.lists(st.integers(0, 65535), min_size=2, max_size=9), factor=st.integers(1, 3))
def test_scaling_by_the_range_in_use_forgets_scale_and_offset(values, factor):
    gray = np.array([values], np.int32)
    np.testing.assert_array_equal(
        to_rgb_pixels(Image.fromarray(gray), "used"), to_rgb_pixels(Image.fromarray(gray * factor + 11), "used")
    )


def test_colours_of_16_bits_are_remarked(tmp_path):

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">L", len(data)) + kind + data + struct.pack(">L", zlib.crc32(kind + data))

    header = struct.pack(">LLBBBBB", 48, 32, 16, 2, 0, 0, 0)
    data = zlib.compress((b"\0" + bytes(48 * 6)) * 32)
    (tmp_path / "a.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )
    assert "16 bits a channel" in remarks(ImageTable([ImageRecord(1, "a.png", 48, 32, 0)]), tmp_path)
