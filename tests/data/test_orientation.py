from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mal.coco.tables import ImageRecord, ImageTable
from mal.data.images import fill_missing_sizes, opened_picture, read_image, read_record_image
from mal.data.orientation import (
    picture_size,
    read_orientation,
    turned_back,
    turned_pixels,
    turned_size,
)
from mal.data.picture_remarks import choose_reading, turned_line, turned_pictures
from mal.errors import UserError
from mal.reading import Reading
from tests.coco.coco_samples import annotation, coco_file, document
from tests.data.turned import ORIENTATIONS, SUFFIXES, as_seen, save_turned, smooth

orientations = st.integers(1, 8)
sides = st.integers(1, 9)


@given(orientation=orientations, height=sides, width=sides)
def test_pixels_are_turned_as_pillow_turns_them(orientation, height, width):
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    turned = turned_pixels(pixels, orientation)
    assert np.array_equal(turned, as_seen(pixels, orientation))
    assert turned.shape[1::-1] == turned_size(width, height, orientation)


@given(orientation=orientations, height=sides, width=sides)
def test_turning_back_undoes_a_turn(orientation, height, width):
    pixels = np.random.default_rng(0).integers(0, 256, (height, width), dtype=np.uint8)
    assert np.array_equal(turned_pixels(turned_pixels(pixels, orientation), turned_back(orientation)), pixels)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_is_read_as_stored_or_upright_by_the_same_rule(tmp_path, suffix, orientation):
    pixels = smooth()
    path = save_turned(tmp_path / f"a{suffix}", pixels, orientation)
    for exif, expected in (("stored", pixels), ("upright", as_seen(pixels, orientation))):
        found = read_image(path, Reading(exif=exif))
        assert found.shape == expected.shape
        assert found.flags.c_contiguous
        assert np.abs(found.astype(int) - expected).mean() < 4
        with opened_picture(path) as picture:
            assert read_orientation(picture) == orientation
            assert picture_size(picture, exif) == expected.shape[1::-1]


def test_a_tiff_is_not_turned_by_what_only_its_xmp_says(tmp_path):
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    Image.fromarray(smooth()).save(tmp_path / "a.tif", tiffinfo={700: xmp})
    assert np.array_equal(read_image(tmp_path / "a.tif"), smooth())


@settings(deadline=None)
@pytest.mark.filterwarnings("ignore::UserWarning")
@given(st.data())
def test_damaged_exif_is_as_none_or_as_some_orientation(data):
    exif = Image.Exif()
    exif[274] = 6
    content = bytearray(exif.tobytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    buffer = io.BytesIO()
    Image.new("RGB", (3, 2)).save(buffer, "JPEG", exif=bytes(content))
    with Image.open(buffer) as picture:
        assert read_orientation(picture) in ORIENTATIONS


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_exif_that_is_cut_off_is_as_none_or_as_it_was(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    content = exif.tobytes()
    for end in range(len(content)):
        save = {"exif": content[:end]} if end else {}
        Image.new("RGB", (3, 2)).save(tmp_path / "a.png", **save)
        with opened_picture(tmp_path / "a.png") as picture:
            assert read_orientation(picture) in (1, 6)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_record_of_the_turned_size_is_refused_with_both_sizes_and_the_reason(tmp_path, suffix):
    save_turned(tmp_path / f"a{suffix}", smooth(), 6)
    with pytest.raises(UserError, match=r"is 48 x 32 pixels.* says 32 x 48, its size as viewers turn it.*exif upright"):
        read_record_image(tmp_path, ImageRecord(1, f"a{suffix}", 32, 48, 0))
    upright = ImageRecord(1, f"a{suffix}", 32, 48, 0, Reading(exif="upright"))
    assert read_record_image(tmp_path, upright).shape == (48, 32, 3)


@pytest.fixture
def turned_coco(tmp_path):
    """Pictures turned by a quarter and by a half, one upright, one missing; records of 48 x 32."""
    for name, orientation in (("a.jpg", 6), ("b.tif", 3), ("c.png", 1)):
        save_turned(tmp_path / name, smooth(), orientation)
    images = [
        {"id": number, "file_name": name, "width": 48, "height": 32}
        for number, name in enumerate(("a.jpg", "b.tif", "c.png", "missing.jpg"), start=1)
    ]
    return coco_file(tmp_path, document(annotation(), images=images))


def test_turned_pictures_are_found_by_their_headers(turned_coco, tmp_path):
    turned = turned_pictures(turned_coco.images, tmp_path)
    assert {row: picture.orientation for row, picture in turned.items()} == {0: 6, 1: 3}


def test_turned_pictures_are_counted_in_one_line_with_the_option_to_give(turned_coco, tmp_path):
    turned = turned_pictures(turned_coco.images, tmp_path)
    line = turned_line(turned_coco.images, turned, "--exif upright")
    assert line.startswith("2 of 4 pictures have an EXIF orientation by which viewers turn them (a.jpg)")
    assert line.endswith("give --exif upright")
    turned_coco.images.reading = Reading(exif="upright")
    assert "are read turned" in turned_line(turned_coco.images, turned, "--exif upright")
    assert turned_line(turned_coco.images, {}, "--exif upright") is None


def test_a_record_of_the_stored_size_gets_the_upright_one_where_boxes_are_upright(turned_coco, tmp_path):
    notes = choose_reading(turned_coco, tmp_path, Reading(exif="upright"))
    assert [note.image_id for note in notes] == [1]
    assert "48 x 32" in notes[0].reason
    assert "32 x 48" in notes[0].reason
    assert turned_coco.images.sizes.tolist() == [[32, 48], [48, 32], [48, 32], [48, 32]]


def test_nothing_changes_where_boxes_are_on_the_stored_pictures(turned_coco, tmp_path):
    assert choose_reading(turned_coco, tmp_path, Reading()) == []
    assert turned_coco.images.sizes.tolist() == [[48, 32]] * 4


def test_a_missing_size_is_that_of_the_turned_picture_where_boxes_are_upright(tmp_path):
    save_turned(tmp_path / "a.tif", smooth(), 6)
    coco = coco_file(tmp_path, document(annotation(), images=[{"id": 1, "file_name": "a.tif"}]))
    choose_reading(coco, tmp_path, Reading(exif="upright"))
    fill_missing_sizes(coco, tmp_path)
    assert coco.images.sizes.tolist() == [[32, 48]]


def test_records_of_a_table_say_what_their_boxes_go_by():
    images = ImageTable([ImageRecord(1, "a.jpg", 3, 2, 0)])
    assert images[1].exif == "stored"
    images.reading = Reading(exif="upright")
    assert images[1].exif == "upright"
