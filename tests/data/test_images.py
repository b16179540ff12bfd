from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from mal.coco.boxes import select_boxes
from mal.coco.coco_file import read_coco
from mal.coco.tables import ImageRecord
from mal.data.images import fill_missing_sizes, image_path, read_image, read_record_image
from mal.errors import UserError
from tests.coco.coco_samples import annotation, coco_file, document


@pytest.fixture
def picture():
    """(32, 48, 3): smooth, so that JPEG keeps it nearly."""
    down, across = np.mgrid[0:32, 0:48]
    return np.stack((down * 7, across * 5, 255 - down * 4), axis=2).astype(np.uint8)


def saved(tmp_path, image, name="a.png", **options):
    image.save(tmp_path / name, **options)
    return tmp_path / name


def test_rgb_is_read_as_it_is(tmp_path, picture):
    pixels = read_image(saved(tmp_path, Image.fromarray(picture)))
    assert pixels.dtype == np.uint8
    assert pixels.flags.writeable
    np.testing.assert_array_equal(pixels, picture)


@pytest.mark.parametrize("mode", ["L", "LA", "1"])
def test_grey_becomes_three_equal_channels(tmp_path, picture, mode):
    pixels = read_image(saved(tmp_path, Image.fromarray(picture).convert("L").convert(mode)))
    assert pixels.shape == (32, 48, 3)
    assert (pixels == pixels[:, :, :1]).all()
    assert pixels.std() > 10


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_16_bit_grey_is_scaled_to_the_full_range(tmp_path, name):
    deep = np.array([[0, 128, 129, 257], [32768, 65407, 65406, 65535]], dtype=np.uint16)
    pixels = read_image(saved(tmp_path, Image.fromarray(deep), name))
    assert pixels[:, :, 0].tolist() == [[0, 0, 1, 1], [128, 255, 254, 255]]


def test_32_bit_grey_is_refused_rather_than_clipped(tmp_path):
    path = saved(tmp_path, Image.fromarray(np.array([[70000, -1]], dtype=np.int32)), "a.tif")
    with pytest.raises(UserError, match="32-bit pixels have no known range"):
        read_image(path)


def test_signed_16_bits_are_refused_as_what_they_are(tmp_path):
    values = np.array([[300, -1000]], np.int16)
    Image.fromarray(values.view(np.uint16)).save(tmp_path / "a.tif", tiffinfo={339: 2})
    with pytest.raises(UserError, match=r"a\.tif cannot be used: signed 16-bit pixels .* -1000 to 300"):
        read_image(tmp_path / "a.tif")


def test_floating_point_grey_is_refused(tmp_path):
    path = saved(tmp_path, Image.fromarray(np.array([[0.5, 7]], dtype=np.float32)), "a.tif")
    with pytest.raises(UserError, match="floating-point"):
        read_image(path)


def test_a_palette_is_applied(tmp_path, picture):
    pixels = read_image(saved(tmp_path, Image.fromarray(picture).quantize(200)))
    assert np.abs(pixels.astype(int) - picture).mean() < 12


def test_colour_channels_of_transparent_pixels_are_used(tmp_path, picture):
    alpha = np.zeros((32, 48, 1), np.uint8)
    pixels = read_image(saved(tmp_path, Image.fromarray(np.concatenate((picture, alpha), axis=2))))
    np.testing.assert_array_equal(pixels, picture)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("options", [{"subsampling": 0}, {"subsampling": 2}, {"progressive": True}])
def test_a_jpeg_has_the_very_pixels_that_pillow_decodes(tmp_path, picture, mode, options):
    noisy = picture ^ np.random.default_rng(0).integers(0, 64, picture.shape, dtype=np.uint8)
    path = saved(tmp_path, Image.fromarray(noisy[:31, :45]).convert(mode), "a.jpg", **options)
    pixels = read_image(path)
    assert pixels.flags.c_contiguous
    np.testing.assert_array_equal(pixels, np.asarray(Image.open(path).convert("RGB")))


def test_cmyk_is_converted_and_not_inverted(tmp_path, picture):
    pixels = read_image(saved(tmp_path, Image.fromarray(picture).convert("CMYK"), "a.jpg", quality=95))
    assert np.abs(pixels.astype(int) - picture).mean() < 6


def test_the_exif_orientation_is_ignored(tmp_path, picture):
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = read_image(saved(tmp_path, Image.fromarray(picture), "a.jpg", exif=exif, quality=95))
    assert pixels.shape == (32, 48, 3)
    assert np.abs(pixels.astype(int) - picture).mean() < 6


def test_a_48_megapixel_picture_is_read(tmp_path):
    assert read_image(saved(tmp_path, Image.new("1", (8000, 6000)))).shape == (6000, 8000, 3)


def test_an_absurdly_large_picture_is_refused(tmp_path):
    path = saved(tmp_path, Image.new("1", (30000, 20000)))
    with pytest.raises(UserError, match=r"600 megapixels, where the limit is 178 .*--max-megapixels"):
        read_image(path)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.gif"])
def test_a_truncated_picture_is_an_error_and_not_grey_filler(tmp_path, name):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    path = saved(tmp_path, Image.fromarray(noise), name)
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 2])
    with pytest.raises(UserError, match="damaged"):
        read_image(path)


@pytest.mark.parametrize("content", [b"", b"a text file", b"\xff\xd8\xff"])
def test_what_is_not_a_picture_is_named(tmp_path, content):
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"a\.jpg"):
        read_image(path)


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(UserError, match=r"none\.jpg does not exist"):
        read_image(tmp_path / "none.jpg")
    with pytest.raises(UserError, match="is a folder"):
        read_image(tmp_path)


@given(data=st.data(), kind=st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF"]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")
def test_changed_bytes_give_a_picture_or_a_clear_error(tmp_path, data, kind):
    buffer = io.BytesIO()
    Image.fromarray(np.arange(300, dtype=np.uint8).reshape(10, 10, 3)).save(buffer, kind)
    raw = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 5))):
        raw[data.draw(st.integers(0, min(len(raw), 200) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "a"
    path.write_bytes(raw)
    try:
        assert read_image(path).ndim == 3
    except UserError as error:
        assert str(path) in str(error)  # noqa: PT017 - either outcome will do


@pytest.mark.parametrize("name", ["a.jpg", "sub/b.jpg", "sub/../a.jpg", "ünïcødé 图像 №1.jpg", "./a.jpg"])
def test_names_inside_the_folder_are_accepted(tmp_path, name):
    assert image_path(tmp_path, name).is_relative_to(tmp_path)


@pytest.mark.parametrize("name", ["../a.jpg", "sub/../../a.jpg", "/etc/passwd", ".", "", "a\0.jpg"])
def test_names_that_lead_out_of_the_folder_are_refused(tmp_path, name):
    with pytest.raises(UserError, match="refused"):
        image_path(tmp_path, name)


def test_a_linked_picture_inside_the_folder_is_read(tmp_path, picture):
    path = saved(tmp_path, Image.fromarray(picture))
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").symlink_to(path)
    assert read_record_image(tmp_path / "images", ImageRecord(1, "a.png", 48, 32, 0)).shape == (32, 48, 3)


def test_a_size_that_differs_from_the_record_is_named_with_both(tmp_path, picture):
    saved(tmp_path, Image.fromarray(picture))
    with pytest.raises(UserError, match=r"is 48 x 32 pixels.* says 32 x 48"):
        read_record_image(tmp_path, ImageRecord(1, "a.png", 32, 48, 0))


def test_a_missing_size_is_taken_from_the_picture(tmp_path, picture):
    saved(tmp_path, Image.fromarray(picture))
    images = [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}]
    coco = coco_file(tmp_path, document(annotation(), annotation(image_id=2), images=images))
    notes = fill_missing_sizes(coco, tmp_path)
    assert (coco.images[1].width, coco.images[1].height) == (48, 32)
    assert [note.image_id for note in notes] == [1, 2]
    assert "b.png does not exist" in notes[1].reason
    boxes, _ = select_boxes(coco)
    assert [box.image.id for box in boxes] == [1]
    assert read_record_image(tmp_path, coco.images[1]).shape == (32, 48, 3)


def test_the_nasty_pictures_are_read_or_named(shared):
    folder = shared / "data/nasty"
    bad = {}
    for record in read_coco(folder / "annotations/nasty.json").images.values():
        try:
            read_record_image(folder / "images", record)
        except UserError as error:
            bad[record.id] = str(error)
    assert set(bad) == {8, 9, 10, 17, 18}
    assert "320 x 240" in bad[8]
    assert "640 x 480" in bad[8]
