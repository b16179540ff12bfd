"""JPEG files that are damaged are refused, whatever they are part of; odd ones that are whole are read."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from mal.data.images import read_image
from mal.data.jpeg import DamagedJpegError, decode_jpeg
from mal.errors import UserError
from tests.data import jpegs

KINDS = {
    "plain": jpegs.jpeg(quality=90),
    "small": jpegs.jpeg(quality=30),
    "full colour": jpegs.jpeg(quality=90, subsampling=0),
    "grey": jpegs.jpeg("L", quality=90),
    "own tables": jpegs.jpeg(quality=90, optimize=True),
    "restarts": jpegs.jpeg(quality=90, restart_marker_blocks=8),
    "progressive": jpegs.jpeg(quality=90, progressive=True),
}
DAMAGES = [
    jpegs.cut_with_end_mark,
    jpegs.with_hole,
    jpegs.with_random_sector,
    jpegs.with_zero_tail,
    jpegs.with_zero_tail_and_end_mark,
    jpegs.with_ff_tail,
]
ODDITIES = [
    jpegs.with_stray_bytes,
    jpegs.with_stray_bytes_before_scan,
    jpegs.with_jfif_version,
    lambda content: content + bytes(5000),
]
any_kind = pytest.mark.parametrize("kind", KINDS)


def pillow_pixels(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def is_refused(tmp_path, content: bytes, name: str = "photo.jpg") -> str:
    """The error of reading a file."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=r"is damaged or cannot be decoded") as error:
        read_image(tmp_path / name)
    return str(error.value)


@any_kind
def test_a_whole_file_has_the_pixels_of_pillow(kind):
    np.testing.assert_array_equal(decode_jpeg(KINDS[kind]), pillow_pixels(KINDS[kind]))


@any_kind
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_refused_without_a_line_of_the_library(tmp_path, capfd, kind, damage):
    assert "photo.jpg" in is_refused(tmp_path, damage(KINDS[kind]))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_found_in_the_first_picture_of_an_mpo(tmp_path, damage):
    assert jpegs.as_mpo(KINDS["plain"]) != KINDS["plain"]
    is_refused(tmp_path, jpegs.as_mpo(damage(KINDS["plain"])))


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_found_inside_a_tiff(tmp_path, capfd, damage):
    is_refused(tmp_path, jpegs.as_tiff(damage(jpegs.jpeg(quality=90))), "photo.tif")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_found_in_a_file_with_four_inks(tmp_path, capfd, damage):
    is_refused(tmp_path, damage(jpegs.jpeg("CMYK", quality=90)))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_whole_jpeg_data_inside_a_tiff_is_read(tmp_path, mode):
    jpegs.photo_like().convert(mode).save(tmp_path / "photo.tif", compression="jpeg")
    pixels = read_image(tmp_path / "photo.tif")
    np.testing.assert_array_equal(pixels, np.asarray(Image.open(tmp_path / "photo.tif").convert("RGB")))


def test_one_of_many_strips_of_a_tiff_is_enough_to_refuse_it(tmp_path):
    buffer = io.BytesIO()
    jpegs.photo_like(600, 600).save(buffer, "TIFF", compression="jpeg")
    with Image.open(buffer) as picture:
        start, length = picture.tag_v2[273][-1], picture.tag_v2[279][-1]
    content = bytearray(buffer.getvalue())
    content[start + length // 2 : start + length - 2] = bytes(length - 2 - length // 2)
    is_refused(tmp_path, bytes(content), "photo.tif")


def test_the_first_picture_of_an_mpo_is_read(tmp_path):
    (tmp_path / "photo.jpg").write_bytes(jpegs.as_mpo(KINDS["plain"]))
    np.testing.assert_array_equal(read_image(tmp_path / "photo.jpg"), pillow_pixels(KINDS["plain"]))


@any_kind
@pytest.mark.parametrize("oddity", ODDITIES)
def test_an_oddity_beside_the_pixels_changes_nothing(tmp_path, capfd, kind, oddity):
    (tmp_path / "photo.jpg").write_bytes(oddity(KINDS[kind]))
    np.testing.assert_array_equal(read_image(tmp_path / "photo.jpg"), pillow_pixels(KINDS[kind]))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("damage", [jpegs.cut_with_end_mark, jpegs.with_hole, jpegs.with_random_sector])
@pytest.mark.parametrize("oddity", [jpegs.with_stray_bytes_before_scan, jpegs.with_jfif_version])
def test_an_oddity_hides_no_damage(tmp_path, damage, oddity):
    is_refused(tmp_path, oddity(damage(KINDS["plain"])))


def test_scan_parameters_that_mean_nothing_are_passed_over(tmp_path):
    odd = jpegs.with_odd_scan_parameters(KINDS["plain"])
    np.testing.assert_array_equal(decode_jpeg(odd), pillow_pixels(KINDS["plain"]))
    is_refused(tmp_path, jpegs.cut_with_end_mark(odd))


def test_bytes_left_over_that_are_no_padding_are_damage():
    with pytest.raises(DamagedJpegError, match="extraneous"):
        decode_jpeg(jpegs.with_stray_bytes(KINDS["plain"], bytes(range(100, 150))))


@pytest.mark.parametrize("kept", [1, 4, 8])
def test_a_progressive_file_without_its_last_scans_is_refused(kept):
    with pytest.raises(DamagedJpegError, match="scans are missing"):
        decode_jpeg(jpegs.without_scans(KINDS["progressive"], kept))


def test_a_picture_of_rgb_without_conversion_is_read(tmp_path):
    content = jpegs.jpeg(quality=90, keep_rgb=True, subsampling=0)
    np.testing.assert_array_equal(decode_jpeg(content), pillow_pixels(content))


def test_a_file_of_thousands_of_scans_is_refused_before_it_is_decoded():
    progressive = KINDS["progressive"]
    start, end = progressive.rindex(jpegs.SCAN), len(progressive) - 2
    with pytest.raises(DamagedJpegError, match="scans"):
        decode_jpeg(progressive[:end] + progressive[start:end] * 5000 + jpegs.END)


def test_megabytes_of_fill_bytes_are_passed_over_at_once(tmp_path):
    is_refused(tmp_path, jpegs.with_ff_tail(KINDS["plain"]).ljust(5_000_000, b"\xff"))


@given(share=st.floats(0.001, 0.999), kind=st.sampled_from(sorted(KINDS)), damage=st.sampled_from(["cut", "zeros"]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_no_file_that_breaks_off_anywhere_in_its_data_is_read(share, kind, damage):
    damaged = {"cut": jpegs.cut_with_end_mark, "zeros": jpegs.with_zero_tail}[damage](KINDS[kind], share)
    with pytest.raises(DamagedJpegError):
        decode_jpeg(damaged)


@given(count=st.integers(1, 3000), value=st.sampled_from([0, 0x20, 0x55]), kind=st.sampled_from(sorted(KINDS)))
@settings(deadline=None)
def test_padding_of_any_length_in_front_of_the_end_mark_is_read(count, value, kind):
    odd = jpegs.with_stray_bytes(KINDS[kind], bytes([value]) * count)
    np.testing.assert_array_equal(decode_jpeg(odd), decode_jpeg(KINDS[kind]))
