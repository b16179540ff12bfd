"""The choice between a network's mask and its graph cut."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mal.masks.paste import paste_mask
from mal.masks.postprocess import postprocess_mask
from mal.masks.refine import CutWindow, graph_cut_mask
from mal.masks.refine_choice import ChoiceFeatures, choice_features, chosen_mask, prefers_cut
from tests.masks.test_refine import HEIGHT, WIDTH, boxes, crop_of, photo

SIZE = WIDTH, HEIGHT
SHARES = st.floats(0, 1)
FEATURES = st.builds(ChoiceFeatures, SHARES, SHARES, st.floats(0, 10), st.floats(0, 5))


@settings(max_examples=40)
@given(box=boxes(), size=st.sampled_from([32, 64]), threshold=st.sampled_from([0.0, 0.1, 0.5, 1.0]))
def test_the_chosen_mask_is_one_of_the_two(box, size, threshold):
    image, _ = photo((70, 58), 30)
    crop = crop_of(image, box, size)
    chosen = chosen_mask(*crop, SIZE, threshold)
    of_network, cut = paste_mask(crop[0], crop[2], SIZE, threshold), graph_cut_mask(*crop, SIZE, threshold)
    expected = cut if chosen.is_refined else of_network
    assert np.array_equal(chosen.window, expected.window)
    assert replace(chosen, window=None) == replace(expected, window=None)


@given(features=FEATURES, more=SHARES)
def test_a_steadier_and_fuller_cut_is_not_refused_where_another_is_taken(features, more):
    steadier = replace(features, stability=max(features.stability, more), fill=max(features.fill, more))
    assert prefers_cut(steadier) or not prefers_cut(features)


def test_an_object_that_stands_out_is_cut():
    image, _ = photo((70, 58), 25)
    assert chosen_mask(*crop_of(image, (45, 33, 95, 83), 128), SIZE, 0.5).is_refined


def noise_in_a_thin_box():
    """Probabilities, crop, frame, and a box of few pixels, in noise that a cut makes nearly empty."""
    image = np.random.default_rng(0).integers(90, 110, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    box = (60, 55, 100, 59)
    return (*crop_of(image, box, 64), box)


def test_a_cut_that_leaves_next_to_nothing_is_not_taken():
    prob, pixels, frame, _ = noise_in_a_thin_box()
    assert graph_cut_mask(prob, pixels, frame, SIZE, 0.5).window.sum() < 8
    assert not chosen_mask(prob, pixels, frame, SIZE, 0.5).is_refined


@pytest.mark.parametrize(("box", "elongation"), [((40, 30, 100, 90), 0.0), ((20, 40, 140, 70), np.log(4))])
def test_features_of_a_sharp_object_are_those_of_its_box(box, elongation):
    image, _ = photo((70, 58), 20)
    window = CutWindow.of(*crop_of(image, box, 128), SIZE)
    found = choice_features(window, window.cut(0.5), 0.5)
    assert found.elongation == pytest.approx(elongation, abs=0.1)
    assert 0.8 < found.stability <= 1


def test_what_is_kept_of_the_network_is_its_mask_to_the_bit():
    prob, pixels, frame, box = noise_in_a_thin_box()
    options = {"box_xyxy": box, "box_area": 160.0, "thresholds": [0.5]}
    chosen = postprocess_mask(prob, frame, SIZE, cut_on=pixels, choose=True, **options)
    assert np.array_equal(chosen.full(), postprocess_mask(prob, frame, SIZE, **options).full())
