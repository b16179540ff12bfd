from __future__ import annotations

import numpy as np
import pytest

from mal.metrics.bootstrap import (
    percentile_interval,
    resampled_class_means,
    resampled_means,
)


def test_intervals_hold_the_true_mean_about_95_times_in_100():
    """Boxes of an image are alike, so an interval that took them for independent would hold it far less often."""
    generator = np.random.default_rng(0)
    images = np.repeat(np.arange(60), 5)
    hits = 0
    for _ in range(300):
        values = 0.6 + 0.1 * generator.normal(size=60)[images] + 0.05 * generator.normal(size=300)
        low, high = percentile_interval(resampled_means(values[:, None], images, resamples=300)[:, 0])
        hits += low <= 0.6 <= high
    assert 0.91 <= hits / 300 <= 0.98


def test_a_draw_counts_an_image_as_often_as_it_was_drawn():
    values, images = np.array([[1.0], [1.0], [4.0]]), np.array([7, 7, 3])
    found = set(resampled_means(values, images, resamples=100)[:, 0].tolist())
    assert found == {1.0, 2.0, 4.0}  # two images: the first twice, each once, the second twice


def test_a_class_that_is_not_in_a_draw_does_not_count_there():
    values, images, classes = np.array([[0.2], [0.8]]), np.array([0, 1]), np.array([5, 9])
    found = resampled_class_means(values, images, classes, resamples=100)[:, 0]
    assert set(found.round(9).tolist()) == {0.2, 0.5, 0.8}


def test_with_one_class_both_kinds_of_means_agree():
    generator = np.random.default_rng(1)
    values, images = generator.random((200, 2)), generator.integers(0, 30, 200)
    over_classes = resampled_class_means(values, images, np.zeros(200, np.int64))
    assert over_classes == pytest.approx(resampled_means(values, images))


def test_the_difference_of_two_figures_has_a_narrower_interval_where_both_go_up_and_down_together():
    generator = np.random.default_rng(2)
    images = np.arange(100)
    hardness = generator.random(100)
    samples = resampled_means(np.stack([hardness, hardness - 0.05], axis=1), images)
    low, high = percentile_interval(samples[:, 0] - samples[:, 1])
    assert (low, high) == (pytest.approx(0.05), pytest.approx(0.05))


def test_every_run_draws_the_same():
    values, images = np.random.default_rng(3).random((50, 1)), np.arange(50) // 2
    assert np.array_equal(resampled_means(values, images), resampled_means(values, images))
