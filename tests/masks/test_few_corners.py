from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as mask_utils

from mal.masks.few_corners import FEWEST_CORNERS, iou_of_polygons, outline_with_few_corners
from mal.masks.polygons import find_contours, flat, polygons_from_rle
from mal.masks.rle import rle_from_mask

masks = arrays(bool, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12)).filter(np.any)
budgets = st.integers(FEWEST_CORNERS, 30)


def disc(side: int = 101, radius: float = 45, hole: float = 0) -> np.ndarray:
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    return (x**2 + y**2 < radius**2) & (x**2 + y**2 >= hole**2)


def drawn_iou(polygons: list[np.ndarray], mask: np.ndarray) -> float:
    """IoU with a mask of what another caller of pycocotools sees, which is given lists of numbers."""
    lists = [polygon.ravel().tolist() for polygon in polygons]
    drawn = mask_utils.decode(mask_utils.merge(mask_utils.frPyObjects(lists, *mask.shape))).astype(bool)
    return float((drawn & mask).sum() / (drawn | mask).sum())


@settings(max_examples=20)
@given(masks, budgets, st.booleans())
def test_there_are_no_more_corners_than_asked_for_where_any_iou_will_do(mask, budget, is_joined):
    outline = outline_with_few_corners(rle_from_mask(mask), budget, 0.0, is_joined=is_joined)
    assert outline.corners <= budget or outline.iou == 1  # only what fewer corners do not show at all has more
    assert len(outline.polygons) == 1 or not is_joined
    assert outline.iou == pytest.approx(drawn_iou(outline.polygons, mask))


@settings(max_examples=20)
@given(masks, budgets, st.floats(0.1, 1), st.booleans())
def test_the_told_iou_is_the_true_one_and_no_lower_than_asked_for(mask, budget, min_iou, is_joined):
    outline = outline_with_few_corners(rle_from_mask(mask), budget, min_iou, is_joined=is_joined)
    assert outline.iou >= min_iou
    assert outline.iou == pytest.approx(drawn_iou(outline.polygons, mask))


@settings(max_examples=20)
@given(masks, budgets, st.integers(1, 3000), st.integers(1, 3000))
def test_shares_of_the_image_with_eight_decimals_have_the_same_pixels(mask, budget, more_rows, more_columns):
    mask = np.pad(mask, ((0, more_rows), (0, more_columns)))
    rle = rle_from_mask(mask)
    outline = outline_with_few_corners(rle, budget, 0.0)
    size = np.array(mask.shape[::-1])
    assert iou_of_polygons([np.round(polygon / size, 8) * size for polygon in outline.polygons], rle) == outline.iou


@settings(max_examples=20)
@given(masks, budgets)
def test_corners_stay_inside_the_image(mask, budget):
    for polygon in outline_with_few_corners(rle_from_mask(mask), budget, 0.0).polygons:
        assert (polygon >= 0).all()
        assert (polygon <= mask.shape[::-1]).all()


@settings(max_examples=20)
@given(masks)
def test_an_outline_that_has_no_more_corners_is_exact(mask):
    rle = rle_from_mask(mask)
    exact = polygons_from_rle(rle)
    outline = outline_with_few_corners(rle, sum(map(len, exact)), 0.0)
    assert [flat(polygon) for polygon in outline.polygons] == [flat(polygon) for polygon in exact]
    assert (outline.iou, outline.dropped) == (1, 0)


def test_an_empty_mask_has_no_polygons():
    assert outline_with_few_corners(rle_from_mask(np.zeros((4, 4), bool)), 4, 0.9).polygons == []


def test_a_disc_of_forty_corners_has_nearly_all_its_pixels():
    rle = rle_from_mask(disc())
    assert sum(map(len, polygons_from_rle(rle))) > 150
    outline = outline_with_few_corners(rle, 40, 0.98)
    assert outline.corners <= 40
    assert outline.iou > 0.99


def test_there_are_more_corners_where_the_iou_would_be_too_low():
    rle = rle_from_mask(disc())
    outline = outline_with_few_corners(rle, 4, 0.98)
    assert 4 < outline.corners < 40
    assert outline.iou >= 0.98


def test_a_hole_is_kept_and_a_speck_is_left_out():
    mask = disc(hole=20)
    mask[0, 0] = True
    outline = outline_with_few_corners(rle_from_mask(mask), 40, 0.95)
    assert (len(outline.polygons), outline.dropped) == (1, 1)
    assert len(find_contours(mask)) == 2
    assert outline.iou > 0.97


def test_large_components_share_the_corners():
    mask = np.concatenate([disc(), disc(radius=30)], axis=1)
    outline = outline_with_few_corners(rle_from_mask(mask), 40, 0.98)
    assert len(outline.polygons) == 2
    assert outline.corners <= 40
    assert len(outline_with_few_corners(rle_from_mask(mask), 40, 0.98, is_joined=True).polygons) == 1


def test_rings_that_lie_in_the_hole_of_a_dropped_component_stay_their_own():
    ring = np.pad(np.zeros((3, 3), bool), 2, constant_values=True)
    ring[3, 3] = True  # a pixel in the hole
    outline = outline_with_few_corners(rle_from_mask(np.pad(ring, 2)), 8, 0.5)
    assert outline.iou >= 0.5
