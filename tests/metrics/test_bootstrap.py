from __future__ import annotations

import numpy as np
import pytest
import torch

from mal.metrics.bootstrap import (
    ClassedVectors,
    cluster_quality,
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


def far_apart(step: float = 10.0) -> ClassedVectors:
    categories = torch.arange(12) % 3
    noise = torch.randn(12, 4, generator=torch.Generator().manual_seed(0))
    return ClassedVectors(torch.arange(12), step * categories[:, None] + noise, categories)


def test_classes_that_lie_farther_apart_score_better():
    near, far = cluster_quality([far_apart(1.0)]), cluster_quality([far_apart(100.0)])
    assert far["calinski_harabasz"] > near["calinski_harabasz"]
    assert far["davies_bouldin"] < near["davies_bouldin"]


def test_the_scores_do_not_depend_on_the_order_of_batches():
    whole = far_apart()
    parts = [
        ClassedVectors(whole.positions[rows], whole.vectors[rows], whole.categories[rows])
        for rows in (slice(7, 12), slice(0, 2), slice(2, 7))
    ]
    assert cluster_quality(parts) == cluster_quality([whole])


@pytest.mark.parametrize("categories", [[1, 2, 3], [1, 1, 1], [1]])
def test_of_one_class_or_of_classes_with_one_member_each_there_are_no_scores(categories):
    count = len(categories)
    vectors = ClassedVectors(torch.arange(count), torch.eye(count, 4), torch.tensor(categories))
    assert cluster_quality([vectors]) is None
