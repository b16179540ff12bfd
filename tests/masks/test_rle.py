from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as mask_utils

from mal.masks.rle import (
    empty_rle,
    mask_from_rle,
    rle_area,
    rle_from_mask,
    rle_from_segmentation,
    rle_from_window,
    window_from_rle,
)

masks = arrays(bool, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9))


@given(masks, st.integers(0, 4), st.integers(0, 4), st.integers(0, 4), st.integers(0, 4))
def test_a_window_encodes_to_the_bytes_that_pycocotools_gives_for_the_full_mask(window, left, top, right, bottom):
    full = np.pad(window, ((top, bottom), (left, right)))
    height, width = full.shape
    rle = rle_from_window(window, x0=left, y0=top, image_width=width, image_height=height)
    assert rle["counts"].encode() == mask_utils.encode(np.asfortranarray(full.astype(np.uint8)))["counts"]
    assert rle["size"] == [height, width]


@given(masks)
def test_decoding_gives_the_encoded_mask_back(mask):
    rle = rle_from_mask(mask)
    np.testing.assert_array_equal(mask_from_rle(rle), mask)
    assert rle_area(rle) == mask.sum()


@given(masks)
def test_uncompressed_and_compressed_runs_read_back_as_the_same_mask(mask):
    height, width = mask.shape
    compressed = rle_from_mask(mask)
    flat = mask.T.ravel()
    edges = np.flatnonzero(np.diff(np.r_[False, flat])) if flat.size else []
    counts = np.diff(np.r_[0, edges, flat.size]).tolist()
    assert rle_from_segmentation({"size": [height, width], "counts": counts}, height, width) == compressed
    assert rle_from_segmentation(dict(compressed), height, width) == compressed


def test_long_runs_on_a_48_megapixel_image_survive():
    window = np.ones((2, 3), dtype=bool)
    rle = rle_from_window(window, x0=7997, y0=5998, image_width=8000, image_height=6000)
    assert rle_area(rle) == 6
    assert rle_from_segmentation(dict(rle), 6000, 8000) == rle
    assert mask_utils.toBbox(rle).tolist() == [7997, 5998, 3, 2]


def test_a_window_that_leaves_the_image_is_a_programming_error():
    with pytest.raises(AssertionError):
        rle_from_window(np.ones((2, 2), dtype=bool), x0=3, y0=0, image_width=4, image_height=4)


def test_the_empty_mask_has_no_pixel():
    assert rle_area(empty_rle(5, 3)) == 0
    assert empty_rle(5, 3) == rle_from_mask(np.zeros((3, 5), dtype=bool))


def test_several_polygons_are_merged_into_one_mask():
    left, right = [0, 0, 2, 0, 2, 4, 0, 4], [6, 0, 8, 0, 8, 4, 6, 4]
    mask = mask_from_rle(rle_from_segmentation([left, right], 4, 10))
    assert mask.sum() == 16
    assert not mask[:, 3:6].any()


@pytest.mark.parametrize(
    "segmentation",
    [
        None,
        [],
        "text",
        {"size": [4, 4]},
        {"size": [4, 5], "counts": [16]},
        {"size": [4, 4], "counts": [15]},
        {"size": [4, 4], "counts": [20, -4]},
        {"size": [4, 4], "counts": [1.5, 14.5]},
        {"size": [4, 4], "counts": 16},
        {"size": [4, 4], "counts": "~~~"},
        {"size": [4, 4], "counts": "P"},
        {"size": [4, 4], "counts": "oooooooooooooooo"},
        [[0, 0, 1, 1]],
        [[0, 0, 1, 1, 2, 2, 3]],
        [[0, 0, 1, 1, 2, float("nan")]],
        [[0, 0, 1, 1, 2, float("inf")]],
        [[0, 0, 1, 1, 2, 1e9]],
        [[0, 0, 1, 1, 2, "3"]],
        [3],
    ],
)
def test_a_damaged_segmentation_is_refused_with_a_reason(segmentation):
    with pytest.raises(ValueError, match=r"\w+ \w+"):
        rle_from_segmentation(segmentation, 4, 4)


def zigzag(points: int, side: float) -> list[float]:
    """An outline that goes from one end of a picture to the other with each of its points."""
    return [value for number in range(points) for value in (side * (number % 2), side * number / points)]


def test_outlines_that_would_take_gigabytes_are_refused_before_they_are_filled():
    with pytest.raises(ValueError, match="longer than 5,000,000 pixels"):
        rle_from_segmentation([zigzag(10_000, 1000.0)], 1000, 1000)


def test_many_outlines_are_bounded_together(monkeypatch):
    monkeypatch.setattr("mal.masks.rle.MAX_OUTLINE_LENGTH", 50_000)
    outline = zigzag(60, 100.0)
    assert rle_area(rle_from_segmentation([outline] * 8, 100, 100)) > 0
    with pytest.raises(ValueError, match="longer than 50,000 pixels"):
        rle_from_segmentation([outline] * 9, 100, 100)


def test_an_outline_of_many_points_is_filled_as_long_as_it_is_short():
    angles = np.linspace(0, 2 * np.pi, 100_000, endpoint=False)
    circle = (500 + 400 * np.stack([np.cos(angles), np.sin(angles)], axis=1)).ravel().tolist()
    assert rle_area(rle_from_segmentation([circle], 1000, 1000)) == pytest.approx(np.pi * 400**2, rel=0.01)


@given(
    st.integers(1, 3000),
    st.lists(st.lists(st.floats(-9000, 9000), min_size=6, max_size=8).filter(lambda xy: not len(xy) % 2), max_size=3),
)
def test_any_outlines_are_a_mask_or_refused(side, polygons):
    try:
        rle = rle_from_segmentation(polygons, side, side)
    except ValueError:
        return
    assert 0 <= rle_area(rle) <= side * side


def test_images_with_more_pixels_than_runs_can_count_have_no_masks():
    square = [0, 0, 60_000, 0, 60_000, 60_000, 0, 60_000]
    for segmentation in ([square], {"size": [70_000, 70_000], "counts": [4_900_000_000]}):
        with pytest.raises(ValueError, match="an image of 70000 x 70000 pixels has more than the 2,147,483,647"):
            rle_from_segmentation(segmentation, 70_000, 70_000)
    with pytest.raises(ValueError, match="2,147,483,647"):
        empty_rle(70_000, 70_000)


@pytest.mark.parametrize("counts", ["0" * 1000, "0" * 18, [0] * 1000, [*[0] * 17, 16]])
def test_an_rle_has_at_most_a_run_for_each_pixel(counts):
    with pytest.raises(ValueError, match="more runs than its image has pixels, 16"):
        rle_from_segmentation({"size": [4, 4], "counts": counts}, 4, 4)


@given(st.text(alphabet=[chr(c) for c in range(48, 112)], max_size=12))
def test_any_text_as_counts_is_a_mask_of_the_right_size_or_refused(text):
    try:
        rle = rle_from_segmentation({"size": [5, 4], "counts": text}, 5, 4)
    except ValueError:
        return
    assert mask_from_rle(rle).shape == (5, 4)


@given(masks)
def test_the_window_of_a_mask_holds_all_of_it_in_as_few_columns_as_can_be(mask):
    window, x0, y0 = window_from_rle(rle_from_mask(mask))
    height, width = window.shape
    assert np.array_equal(window, mask[y0 : y0 + height, x0 : x0 + width])
    assert window.sum() == mask.sum()
    assert width == (np.ptp(np.flatnonzero(mask.any(axis=0))) + 1 if mask.any() else 0)
