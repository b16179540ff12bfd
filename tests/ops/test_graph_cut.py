"""Refinement by graph cut: what it finds, and what it does where there is nothing to find."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mal.ops import min_cut
from mal.ops.graph_cut import MIN_PIXELS, graph_cut


def disc(size: int, radius: float, center: tuple[float, float] | None = None):
    rows, columns = np.mgrid[:size, :size] + 0.5
    y, x = center or (size / 2, size / 2)
    return (rows - y) ** 2 + (columns - x) ** 2 < radius**2


def soft(size: int, radius: float, center: tuple[float, float] | None = None):
    """Probabilities that fall from the center, 1/2 at the radius."""
    rows, columns = np.mgrid[:size, :size] + 0.5
    y, x = center or (size / 2, size / 2)
    distance = np.hypot(rows - y, columns - x) / radius
    return (1 / (1 + np.exp(-4 * (1 - distance)))).astype(np.float32)


def painted(mask, object_color=(200, 60, 40), ground_color=(40, 90, 160), noise=0.0, seed=0):
    image = np.where(mask[..., None], object_color, ground_color)
    image = image + noise * np.random.default_rng(seed).standard_normal(image.shape)
    return np.clip(image, 0, 255).astype(np.uint8)


def box_of(mask, grown: int = 2):
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    inside = np.zeros_like(mask)
    inside[max(rows[0] - grown, 0) : rows[-1] + 1 + grown, max(columns[0] - grown, 0) : columns[-1] + 1 + grown] = True
    return inside


def iou(first, second):
    return (first & second).sum() / (first | second).sum()


@pytest.mark.parametrize("seed_radius", [12, 16, 23])
@pytest.mark.parametrize("noise", [0, 8])
def test_a_disc_of_one_color_is_found_to_the_pixel(seed_radius, noise):
    truth = disc(64, 20)
    found = graph_cut(painted(truth, noise=noise), soft(64, seed_radius), box_of(truth))
    np.testing.assert_array_equal(found, truth)


def test_a_small_disc_is_found_at_its_own_resolution():
    truth = disc(16, 5)
    np.testing.assert_array_equal(graph_cut(painted(truth, noise=5), soft(16, 4), box_of(truth)), truth)


def test_an_object_that_is_not_where_the_probability_has_it_is_found_by_its_color():
    truth = disc(64, 16, (36, 36))
    seed = soft(64, 16, (30, 30))
    assert iou(graph_cut(painted(truth, noise=10), seed, box_of(truth, 8)), truth) > 0.99 > iou(seed > 0.5, truth)


def test_a_box_that_is_the_whole_picture_is_refined_all_the_same():
    truth = disc(64, 24)
    found = graph_cut(painted(truth, noise=5), soft(64, 20), np.ones((64, 64), np.bool_))
    np.testing.assert_array_equal(found, truth)


def test_nothing_outside_the_box_comes_into_the_mask():
    truth = disc(64, 24)
    inside = box_of(disc(64, 15))
    found = graph_cut(painted(truth), soft(64, 14), inside)
    assert found.any()
    assert not (found & ~inside).any()


def test_the_surest_share_of_the_seed_stays_whatever_its_color():
    truth = disc(64, 20)
    image = painted(truth)
    image[28:36, 28:36] = image[0, 0]  # a hole of the surroundings' color, in the middle
    found = graph_cut(image, soft(64, 20), box_of(truth), sure=0.25)
    assert found[28:36, 28:36].all()
    assert not graph_cut(image, soft(64, 20), box_of(truth), sure=0, prior=0)[30:34, 30:34].any()


def test_how_sure_a_network_is_as_a_whole_does_not_matter_without_prior():
    truth = disc(64, 20)
    image, prob = painted(truth, noise=40), soft(64, 17)
    logits = np.log(prob.astype(np.float64)) - np.log1p(-prob.astype(np.float64))
    unsure = 1 / (1 + np.exp(-0.1 * logits))
    expected = graph_cut(image, prob, box_of(truth), prior=0)
    np.testing.assert_array_equal(graph_cut(image, unsure, box_of(truth), prior=0), expected)


def test_the_prior_counts_from_the_threshold_on():
    truth = disc(64, 20)
    gray = painted(truth, (120, 120, 120), (118, 118, 118), noise=30)
    prob = soft(64, 20)
    lower = prob / (prob + 9 * (1 - prob))  # of the same order, 1/10 where it was 1/2
    found = graph_cut(gray, lower.astype(np.float64), box_of(truth), threshold=0.1)
    assert iou(found, graph_cut(gray, prob.astype(np.float64), box_of(truth))) > 0.98


def empty_probability(prob):
    prob[:] = 0.1


def full_probability(prob):
    prob[:] = 0.9


def one_pixel(prob):
    prob[:] = 0
    prob[32, 32] = 1


def no_numbers(prob):
    prob[:] = np.nan


@pytest.mark.parametrize("spoil", [empty_probability, full_probability, one_pixel, no_numbers])
def test_where_there_is_nothing_to_learn_colors_from_the_seed_comes_back(spoil):
    image, prob = painted(disc(64, 20)), soft(64, 20)
    spoil(prob)
    found = graph_cut(image, prob, np.ones((64, 64), np.bool_))
    np.testing.assert_array_equal(found, prob > 0.5)


def test_a_picture_of_one_color_gives_the_seed_back():
    found = graph_cut(np.full((64, 64, 3), 7, np.uint8), soft(64, 20), box_of(disc(64, 20)))
    np.testing.assert_array_equal(found, soft(64, 20) > 0.5)


@pytest.mark.parametrize("size", [0, 1, 3])
def test_a_picture_or_a_box_of_hardly_a_pixel_gives_the_seed_back(size):
    image, prob = painted(disc(64, 20)), soft(64, 20)
    inside = np.zeros((64, 64), np.bool_)
    inside[30 : 30 + size, 30 : 30 + size] = True
    np.testing.assert_array_equal(graph_cut(image, prob, inside), inside)
    part = slice(30, 30 + size)
    np.testing.assert_array_equal(
        graph_cut(image[part, part], prob[part, part], inside[part, part]), inside[part, part]
    )


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_probability_that_is_not_a_number_counts_as_none(value):
    truth = disc(64, 20)
    image, prob = painted(truth, noise=30), soft(64, 20)
    prob[20:30, 20:30] = value
    none = np.where(np.isfinite(prob), prob, 0)
    np.testing.assert_array_equal(graph_cut(image, prob, box_of(truth)), graph_cut(image, none, box_of(truth)))


@st.composite
def pictures(draw):
    """Any picture, probabilities and box, down to a pixel, from few colors or many."""
    height, width = draw(st.integers(1, 24)), draw(st.integers(1, 24))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    levels = draw(st.sampled_from([1, 2, 8, 256]))
    image = (rng.integers(0, levels, (height, width, 3)) * (255 // max(levels - 1, 1))).astype(np.uint8)
    prob = rng.random((height, width)).astype(np.float32).round(draw(st.sampled_from([0, 1, 6])))
    inside = np.zeros((height, width), np.bool_)
    rows, columns = sorted(rng.integers(0, height + 1, 2)), sorted(rng.integers(0, width + 1, 2))
    inside[rows[0] : rows[1], columns[0] : columns[1]] = True
    return image, prob, inside


@settings(max_examples=100)
@given(picture=pictures(), sure=st.sampled_from([0.0, 0.25, 1.0]), rounds=st.integers(1, 2))
def test_whatever_is_given_a_mask_in_the_box_comes_back_that_is_empty_only_where_the_seed_is(picture, sure, rounds):
    image, prob, inside = picture
    found = graph_cut(image, prob, inside, sure=sure, rounds=rounds)
    assert found.dtype == np.bool_
    assert not (found & ~inside).any()
    assert found.any() == (inside & (prob > 0.5)).any()


@settings(max_examples=30)
@given(picture=pictures(), smoothness=st.sampled_from([0.0, 1.0, 12.0, 100.0]))
def test_without_numba_the_same_masks_come_out(picture, smoothness):
    found = graph_cut(*picture, smoothness=smoothness)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(min_cut, "fast_module", lambda name: None)
        np.testing.assert_array_equal(graph_cut(*picture, smoothness=smoothness), found)


def test_the_same_comes_out_again_and_from_views_with_gaps():
    truth = disc(64, 20)
    image, prob, inside = painted(truth, noise=60), soft(64, 15), box_of(truth)
    copies = [np.copy(part) for part in (image, prob, inside)]
    found = graph_cut(image, prob, inside)
    for part, copy in zip((image, prob, inside), copies, strict=True):
        np.testing.assert_array_equal(part, copy)
    wide = [np.repeat(part, 2, axis=1)[:, ::2] for part in (image, prob, inside)]
    np.testing.assert_array_equal(graph_cut(*wide), found)


def test_as_many_pixels_as_colors_need_are_asked_for_on_both_sides():
    image = painted(disc(16, 5), noise=5)
    prob = np.zeros((16, 16), np.float32)
    prob[6, 6 : 6 + MIN_PIXELS - 1] = 0.9
    inside = np.ones((16, 16), np.bool_)
    np.testing.assert_array_equal(graph_cut(image, prob, inside), prob > 0.5)


@pytest.mark.parametrize(
    "values",
    [{"sure": 1.1}, {"sure": float("nan")}, {"threshold": -0.1}, {"smoothness": -1}, {"prior": -1}, {"rounds": 0}],
    ids=str,
)
def test_a_number_out_of_range_is_refused_by_name(values):
    with pytest.raises(ValueError, match=next(iter(values))):
        graph_cut(painted(disc(16, 5)), soft(16, 5), disc(16, 7), **values)


@pytest.mark.parametrize("wrong", [0, 1, 2])
def test_arrays_that_do_not_fit_each_other_are_refused(wrong):
    arrays = [painted(disc(16, 5)), soft(16, 5), disc(16, 7)]
    arrays[wrong] = arrays[wrong][:-1]
    with pytest.raises(ValueError, match="must be"):
        graph_cut(*arrays)


@pytest.mark.parametrize("wrong", [0, 2])
def test_arrays_of_another_kind_are_refused(wrong):
    arrays = [painted(disc(16, 5)), soft(16, 5), disc(16, 7)]
    arrays[wrong] = arrays[wrong].astype(np.float32)
    with pytest.raises(ValueError, match="uint8 and bool"):
        graph_cut(*arrays)
