from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as mask_utils

from mal.masks.polygons import find_contours, flat, join_polygons, polygons_from_rle, simplify_ring
from mal.masks.rle import rle_from_mask, rle_from_segmentation

masks = arrays(bool, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12))
RING = np.pad(np.zeros((1, 1), bool), 1, constant_values=True)


def picture(*rows: str) -> np.ndarray:
    return np.array([[pixel == "#" for pixel in row] for row in rows])


def test_a_pixel_has_the_outline_of_its_four_borders():
    (part,) = find_contours(picture("...", ".#."))
    assert part.outer.tolist() == [[1, 1], [2, 1], [2, 2], [1, 2]]
    assert part.holes == []


def test_a_hole_belongs_to_the_part_around_it_even_inside_another_hole():
    outer = np.pad(np.pad(RING, 1), 1, constant_values=True)  # a ring in the hole of a ring
    first, second = find_contours(outer)
    assert (len(first.holes), len(second.holes)) == (1, 1)
    assert first.outer.max() == 7
    assert second.outer.max() == 5
    assert second.holes[0].tolist() == [[3, 4], [4, 4], [4, 3], [3, 3]]


def test_pixels_that_touch_at_a_corner_are_two_parts():
    assert len(find_contours(picture("#.", ".#"))) == 2
    assert len(find_contours(picture(".#", "#."))) == 2


def test_holes_that_touch_at_a_corner_are_one_hole():
    (part,) = find_contours(picture("####", "#.##", "##.#", "####"))
    assert len(part.holes) == 1


@given(masks)
def test_outer_outlines_turn_right_and_holes_turn_left_and_their_areas_add_up_to_the_mask(mask):
    parts = find_contours(mask)
    assert all(_area(part.outer) > 0 for part in parts)
    assert all(_area(hole) < 0 for part in parts for hole in part.holes)
    assert sum(_area(ring) for part in parts for ring in (part.outer, *part.holes)) == mask.sum()


@given(masks)
def test_pycocotools_makes_the_very_mask_of_the_polygons(mask):
    rle = rle_from_mask(mask)
    polygons = [flat(polygon) for polygon in polygons_from_rle(rle)]
    if mask.any():
        assert rle_from_segmentation(polygons, *mask.shape) == rle
    else:
        assert polygons == []


@given(masks.filter(np.any))
def test_all_parts_joined_to_one_polygon_are_still_the_very_mask(mask):
    rle = rle_from_mask(mask)
    assert rle_from_segmentation([flat(join_polygons(polygons_from_rle(rle)))], *mask.shape) == rle


@given(masks.filter(np.any), st.floats(0.1, 3))
def test_no_corner_lies_farther_from_a_simplified_ring_than_the_tolerance(mask, tolerance):
    for part in find_contours(mask):
        for ring in (part.outer, *part.holes):
            result = simplify_ring(ring, tolerance)
            assert 3 <= len(result) <= len(ring)
            assert max(_distance(point, result) for point in ring) <= tolerance + 1e-9


@given(masks.filter(np.any), st.floats(0.1, 3))
def test_no_part_vanishes_at_any_tolerance(mask, tolerance):
    rle = rle_from_mask(mask)
    assert len(polygons_from_rle(rle, tolerance)) == len(polygons_from_rle(rle))


@pytest.mark.parametrize("tolerance", [1.0, 2.0])
def test_a_disc_keeps_nearly_all_its_pixels_with_far_fewer_corners(tolerance):
    y, x = np.mgrid[:101, :101]
    disc = (x - 50) ** 2 + (y - 50) ** 2 < 45**2
    rle = rle_from_mask(disc)
    exact, rough = polygons_from_rle(rle)[0], polygons_from_rle(rle, tolerance)[0]
    assert len(rough) < len(exact) / 2
    again = rle_from_segmentation([flat(rough)], 101, 101)
    assert mask_utils.iou([again], [rle], [0])[0, 0] > 0.95


def _area(ring: np.ndarray) -> float:
    """Positive for a ring that is clockwise as seen, y pointing down."""
    (x, y), (x1, y1) = ring.T, np.roll(ring, -1, axis=0).T
    return float((x * y1 - x1 * y).sum()) / 2


def _distance(point: np.ndarray, ring: np.ndarray) -> float:
    starts, ends = ring.astype(float), np.roll(ring, -1, axis=0).astype(float)
    directions = ends - starts
    shares = np.clip(((point - starts) * directions).sum(1) / np.maximum((directions**2).sum(1), 1e-12), 0, 1)
    return float(np.linalg.norm(point - starts - shares[:, None] * directions, axis=1).min())
