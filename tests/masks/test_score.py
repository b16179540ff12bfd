from __future__ import annotations

import math
from dataclasses import astuple, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mal.masks.paste import paste_mask
from mal.masks.score import (
    RANDOM_COSINE,
    SIDE,
    ScoreFeatures,
    color_contrast,
    combine_features,
    edge_agreement,
    expected_iou,
    mask_in_crop,
    score_features,
    score_mask,
)

shares = st.floats(0, 1, width=32)
maps = arrays(np.float32, (8, 8), elements=shares)
photos = arrays(np.uint8, (3, 8, 8)).map(lambda pixels: pixels.astype(np.float32))
boxes = arrays(np.bool_, (8, 8))
FRAME, IMAGE_SIZE = (10, 20, 74, 84), (200, 100)


def disc(side: int = 64, radius: float = 0.3) -> np.ndarray:
    """Probabilities of a disc with a soft outline in the middle of a crop."""
    y, x = (np.mgrid[:side, :side] + 0.5) / side - 0.5
    return (1 / (1 + np.exp(60 * (np.hypot(x, y) - radius)))).astype(np.float32)


def painted(shape: np.ndarray) -> np.ndarray:
    """A photo, (3, S, S) uint8, that is orange where a shape is and blue elsewhere."""
    object_, ground = np.array([230, 120, 20]), np.array([20, 60, 200])
    pixels = ground[:, None, None] + (object_ - ground)[:, None, None] * shape
    return pixels.astype(np.uint8)


def score(prob: np.ndarray, pixels: np.ndarray) -> float:
    mask = paste_mask(prob, FRAME, IMAGE_SIZE, 0.5)
    return score_mask(mask, prob, pixels, np.ones(prob.shape, np.uint8), FRAME)


@given(maps, photos, boxes)
def test_every_part_lies_between_0_and_1(prob, pixels, inside):
    parts = (
        expected_iou((prob > 0.5).astype(np.float32), prob),
        edge_agreement(prob, pixels, inside),
        color_contrast(prob, pixels),
    )
    assert all(0 <= part <= 1 for part in parts)
    assert 0 < combine_features(ScoreFeatures(*parts)) < 1


@given(shares, shares, shares, st.sampled_from(["confidence", "edges", "colors"]), shares)
def test_the_score_rises_with_each_part(confidence, edges, colors, name, more):
    parts = ScoreFeatures(confidence, edges, colors)
    better = replace(parts, **{name: max(more, getattr(parts, name))})
    assert combine_features(better) >= combine_features(parts)


@given(arrays(np.bool_, (8, 8)))
def test_a_network_that_is_certain_of_its_mask_believes_in_it_wholly(mask):
    sure = mask.astype(np.float32)
    assert expected_iou(sure, sure) == (1 if mask.any() else 0)


@given(maps, st.floats(0, 1))
def test_the_less_certain_a_network_is_the_less_it_believes(prob, doubt):
    mask = prob > 0.5
    doubtful = np.where(mask, prob - doubt * (prob - 0.5), prob + doubt * (0.5 - prob)).astype(np.float32)
    share = mask.astype(np.float32)
    assert expected_iou(share, doubtful) <= expected_iou(share, prob) + 1e-5


def test_belief_is_expected_intersection_over_expected_union():
    mask, prob = np.array([[1, 1, 0, 0]], np.float32), np.array([[0.9, 0.6, 0.3, 0.0]], np.float32)
    assert expected_iou(mask, prob) == pytest.approx(1.5 / 2.3)


def test_an_outline_on_the_edge_of_the_photo_s_object_agrees_with_it():
    prob, inside = disc(), np.ones((64, 64), bool)
    assert edge_agreement(prob, painted(prob).astype(np.float32), inside) > 0.97


def test_an_outline_across_the_waves_of_a_photo_agrees_with_them_by_chance():
    waves = np.broadcast_to(128 + 100 * np.sin(np.arange(64) / 2), (3, 64, 64)).astype(np.float32)
    assert edge_agreement(disc(), waves, np.ones((64, 64), bool)) == pytest.approx(RANDOM_COSINE, abs=0.06)


def test_where_the_photo_has_no_edge_no_outline_agrees_with_one():
    assert edge_agreement(disc(), np.full((3, 64, 64), 90, np.float32), np.ones((64, 64), bool)) == 0


@given(photos)
def test_a_mask_without_an_outline_in_its_box_says_nothing_of_edges(pixels):
    assert edge_agreement(np.full((8, 8), 0.7, np.float32), pixels, np.ones((8, 8), bool)) == RANDOM_COSINE


def test_where_the_box_cuts_a_mask_off_its_edge_does_not_count():
    prob, inside = disc(radius=0.6), np.zeros((64, 64), bool)
    inside[16:48, 16:48] = True
    pixels = np.random.default_rng(0).uniform(0, 255, (3, 64, 64)).astype(np.float32)
    cut = np.where(inside, prob, 0).astype(np.float32)
    assert edge_agreement(cut, pixels, inside) == pytest.approx(edge_agreement(prob, pixels, inside))


def test_colours_that_the_surroundings_do_not_have_speak_for_a_mask():
    mask = (disc() > 0.5).astype(np.float32)
    assert color_contrast(mask, painted(mask).astype(np.float32)) == 1


@given(maps.filter(lambda mask: 0 < mask.sum() < mask.size))
def test_a_mask_coloured_as_all_else_has_no_contrast(mask):
    assert color_contrast(mask, np.full((3, 8, 8), 90, np.float32)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("mask", [np.zeros((8, 8)), np.ones((8, 8))])
def test_without_a_mask_or_without_surroundings_there_is_no_contrast(mask):
    pixels = np.random.default_rng(0).uniform(0, 255, (3, 8, 8)).astype(np.float32)
    assert color_contrast(mask.astype(np.float32), pixels) == 0


def test_the_mask_of_a_clear_object_scores_high_and_a_shifted_one_lower():
    pixels = painted(disc())
    right, shifted = score(disc(), pixels), score(np.roll(disc(), 16, axis=1), pixels)
    assert right > 0.8
    assert shifted < right - 0.2


def test_an_empty_mask_scores_nothing():
    assert score(np.zeros((64, 64), np.float32), painted(disc())) == 0


@settings(deadline=None, max_examples=30)
@given(side=st.integers(16, 160), fill=st.booleans())
def test_crops_of_any_size_have_a_score(side, fill):
    prob = np.full((side, side), 0.9 if fill else 0.6, np.float32)
    found = score(prob, np.zeros((3, side, side), np.uint8))
    assert 0 < found < 1


def test_the_size_of_the_crop_hardly_matters():
    downsample, large = (score(disc(side), painted(disc(side))) for side in (128, 512))
    assert downsample == pytest.approx(large, abs=0.03)


def test_parts_are_finite_numbers():
    parts = score_features(disc() > 0.5, disc(), painted(disc()), np.ones((64, 64), np.uint8))
    assert all(isinstance(part, float) and math.isfinite(part) for part in astuple(parts))


@settings(deadline=None)
@given(
    x=st.integers(-60, 190), y=st.integers(-60, 90), width=st.integers(1, 90), height=st.integers(1, 90), data=st.data()
)
def test_a_mask_in_its_crop_is_what_the_image_has_there(x, y, width, height, data):
    x, y = max(x, 1 - width), max(y, 1 - height)  # some of the frame is inside the image
    frame = (x, y, x + width, y + height)
    mask = paste_mask(disc(), frame, IMAGE_SIZE, data.draw(st.sampled_from([0.1, 0.5])))
    found, whole = mask_in_crop(mask, frame, SIDE), mask.full()
    for row, column in data.draw(st.lists(st.tuples(*[st.integers(0, SIDE - 1)] * 2), min_size=5, max_size=5)):
        at_y, at_x = math.floor(y + (row + 0.5) / SIDE * height), math.floor(x + (column + 0.5) / SIDE * width)
        in_image = 0 <= at_x < IMAGE_SIZE[0] and 0 <= at_y < IMAGE_SIZE[1]
        assert found[row, column] == (in_image and whole[at_y, at_x])


def test_a_refined_mask_is_scored_by_weights_of_its_own():
    prob = disc()
    pixels = painted(prob)
    mask = paste_mask(prob, FRAME, IMAGE_SIZE, 0.5)
    plain, refined = (
        score_mask(replace(mask, is_refined=is_refined), prob, pixels, np.ones(prob.shape, np.uint8), FRAME)
        for is_refined in (False, True)
    )
    features = score_features(mask_in_crop(mask, FRAME), prob, pixels, np.ones(prob.shape, np.uint8))
    assert plain == round(combine_features(features), 4) == score(prob, pixels)
    assert refined == round(combine_features(features, is_refined=True), 4)
    assert refined != plain
