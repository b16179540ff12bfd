"""Pictures of a review: small previews, native parts, and new ones where a file has changed."""

from __future__ import annotations

import io
import os

import numpy as np
import pytest
from PIL import Image

from mal.coco.tables import ImageRecord
from mal.errors import UserError
from mal.review.pictures import PREVIEW_EDGE, ReviewPictures


def record_of(path, width, height):
    return ImageRecord(1, path.name, width, height, 0)


def test_a_preview_is_not_longer_than_it_may_be_and_a_part_has_the_picture_s_own_pixels(tmp_path):
    pixels = np.zeros((300, 3000, 3), np.uint8)
    pixels[:, 1500:] = 200
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    pictures, record = ReviewPictures(tmp_path), record_of(tmp_path / "wide.png", 3000, 300)
    assert Image.open(io.BytesIO(pictures.preview(record))).size == (PREVIEW_EDGE, round(300 * PREVIEW_EDGE / 3000))
    part = np.asarray(Image.open(io.BytesIO(pictures.part(record, 1484, 0, 32, 32))))
    assert part[:, :12].max() < 20
    assert part[:, -12:].min() > 180
    with pytest.raises(UserError, match="does not lie in image"):
        pictures.part(record, 2990, 0, 32, 32)
    with pytest.raises(UserError, match="does not lie in image"):
        pictures.part(record, 0, 0, PREVIEW_EDGE + 1, 32)


def test_a_picture_that_was_written_anew_is_shown_anew(tmp_path):
    path = tmp_path / "a.png"
    Image.new("RGB", (40, 30), "black").save(path)
    pictures, record = ReviewPictures(tmp_path), record_of(path, 40, 30)
    before = pictures.preview(record)
    assert pictures.preview(record) is before
    Image.new("RGB", (40, 30), "white").save(path)
    os.utime(path, ns=(1, 1))
    assert np.asarray(Image.open(io.BytesIO(pictures.preview(record)))).min() > 250


def test_a_picture_of_another_size_than_its_record_is_refused(tmp_path):
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    with pytest.raises(UserError, match="is 40 x 30 pixels, but its record"):
        ReviewPictures(tmp_path).preview(record_of(tmp_path / "a.png", 30, 40))
