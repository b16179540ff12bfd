"""Boxes of another convention are told with numbers, and honest ones never are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mal.coco.box_conventions import suspicion
from mal.coco.boxes import box_suspicion
from mal.coco.coco_file import read_coco
from mal.data.array_inputs import describe_suspicion

SETS = ("coco-mini", "nuts", "nuclei", "pothole", "balloon", "cardamage", "bccd", "raccoon", "tomato", "aerial", "ccby")
# A photo of 400 x 300 pixels with boxes all over it.
PHOTO = np.array(
    [
        [12, 51, 67.5, 88],
        [106.5, 189.5, 60.5, 56],
        [163.5, 191, 68, 84],
        [285, 106.5, 72.5, 102],
        [110, 88.5, 34.5, 43.5],
        [236, 99, 54.5, 46],
    ]
)
PHOTO_SIZES = np.full((6, 2), (400, 300))


def corners(xywh, sizes):
    return np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)


def shares(xywh, sizes):
    return xywh / np.tile(sizes, 2)


def percent(xywh, sizes):
    return 100 * shares(xywh, sizes)


def corners_in_percent(xywh, sizes):
    return 100 * shares(corners(xywh, sizes), sizes)


def center(xywh, sizes):
    return np.concatenate([xywh[:, :2] + xywh[:, 2:] / 2, xywh[:, 2:]], axis=1) / np.tile(sizes, 2)


WRITERS = {
    corners: "corners",
    shares: "shares",
    percent: "percent",
    corners_in_percent: "percent",
    center: "shares",
}


@st.composite
def files(draw, *, least_images=1, least_side=32):
    """Honest boxes anywhere in images of any size; they may reach out of them by a careless hand's width."""
    count = draw(st.integers(least_images, 9))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    of_image = rng.integers(least_side, 4000, (count, 2))
    sizes = np.repeat(of_image, rng.integers(1, 30, count), axis=0)
    extent = rng.beta(1, draw(st.sampled_from([1, 3, 10])), sizes.shape) * sizes + 0.5
    start = rng.uniform(0, 1, sizes.shape) * np.maximum(sizes - extent, 0)
    start = start + rng.uniform(-0.04, 0.04, sizes.shape) * sizes
    return np.concatenate([start, extent], axis=1), sizes


def honest_but_of_one_corner(xywh, sizes) -> bool:
    """All boxes by chance in the first 100 pixels each way, which nobody could tell from per cent."""
    return bool((xywh[:, :2] + xywh[:, 2:] <= 101).all())


@given(files())
def test_honest_boxes_are_beyond_suspicion(file):
    xywh, sizes = file
    found = suspicion(xywh, sizes)
    assert found is None or (found.convention == "percent" and honest_but_of_one_corner(xywh, sizes))


@given(files(least_side=320, least_images=5), st.sampled_from([shares, center]))
def test_boxes_in_shares_are_told_whatever_they_are_like(file, write):
    xywh, sizes = file
    inside = np.clip(xywh, 0, np.tile(sizes, 2))
    assert suspicion(write(inside, sizes), sizes).convention == "shares"


@pytest.mark.parametrize("write", WRITERS)
def test_a_photo_s_boxes_are_told_in_every_other_convention(write):
    assert suspicion(PHOTO, PHOTO_SIZES) is None
    assert suspicion(write(PHOTO, PHOTO_SIZES), PHOTO_SIZES).convention == WRITERS[write]


def test_numbers_stand_in_the_line():
    lines = [str(suspicion(write(PHOTO, PHOTO_SIZES), PHOTO_SIZES)) for write in (corners, shares, percent)]
    assert lines[0].startswith("4 of 6 boxes reach out of their image as x, y, width, height, none as x0, y0, x1, y1")
    assert lines[1].startswith("all 6 boxes lie within 0..1")
    assert lines[2].startswith("all 6 boxes of larger images lie within their first 100 x 100 pixels")


@pytest.mark.parametrize("write", [corners, shares, percent])
def test_a_few_damaged_boxes_hide_nothing(write):
    many, sizes = np.tile(PHOTO, (30, 1)), np.tile(PHOTO_SIZES, (30, 1))
    written = write(many, sizes)
    written[[5, 77, 120]] = [[300, 200, 5, 5], [np.nan] * 4, [390, 1, 30, 2]]
    assert suspicion(written, sizes).convention == WRITERS[write]


def test_boxes_of_the_picture_before_it_was_halved_are_no_corners():
    assert suspicion(2 * PHOTO, PHOTO_SIZES) is None


def test_honest_boxes_that_begin_left_and_above_their_size_are_no_corners():
    cut_out = np.array([[3.0, 4, 90, 80], [1, 2, 97, 96], [8, 8, 88, 91]])
    assert suspicion(cut_out, np.full((3, 2), 100)) is None


def test_small_boxes_in_the_middle_of_small_images_are_no_per_cent():
    middle = np.tile([[40.0, 30, 55, 65]], (50, 1))
    assert suspicion(middle, np.full((50, 2), 128)) is None


def test_without_sizes_shares_are_still_told_and_nothing_else():
    unknown = np.full((6, 2), np.nan)
    assert suspicion(shares(PHOTO, PHOTO_SIZES), unknown).convention == "shares"
    assert suspicion(corners(PHOTO, PHOTO_SIZES), 0 * PHOTO_SIZES) is None


def test_no_box_is_no_suspicion():
    assert suspicion(np.empty((0, 4)), np.empty((0, 2))) is None


@pytest.mark.parametrize("name", SETS)
def test_real_sets_are_beyond_suspicion_and_told_when_they_are_converted(shared, name):
    files = sorted((shared / "data" / name / "annotations").glob("boxes_*.json"))
    assert files
    for file in files:
        coco = read_coco(file)
        assert box_suspicion(coco) is None
        xywh, sizes = coco.table.xywh, coco.images.sizes[coco.table.image_rows]
        for write, convention in WRITERS.items():
            assert suspicion(write(xywh, sizes), sizes).convention == convention
        for row in np.unique(coco.table.image_rows):
            of_image = coco.table.image_rows == row
            assert suspicion(xywh[of_image], sizes[of_image]) is None


def test_a_program_s_boxes_are_told_by_what_they_look_like():
    given_xyxy = corners(PHOTO, PHOTO_SIZES)
    assert describe_suspicion(given_xyxy, width=400, height=300) == ""
    assert "6 of 6 boxes" in describe_suspicion(given_xyxy / [400, 300, 400, 300], width=400, height=300)
    assert "shares of its width" in describe_suspicion(given_xyxy / [400, 300, 400, 300], width=400, height=300)
    assert "per cent" in describe_suspicion(100 * given_xyxy / [400, 300, 400, 300], width=400, height=300)
    assert "before x and y were added" in describe_suspicion(
        np.concatenate([given_xyxy[:, :2], given_xyxy[:, :2] + given_xyxy[:, 2:]], axis=1), width=400, height=300
    )
