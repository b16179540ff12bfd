from __future__ import annotations

import numpy as np
import pytest

from mal.metrics.clusters import ClassedVectors, cluster_quality


def far_apart(step: float = 10.0) -> ClassedVectors:
    categories = np.arange(12) % 3
    noise = np.random.default_rng(0).normal(size=(12, 4))
    return ClassedVectors(np.arange(12), (step * categories[:, None] + noise).astype(np.float32), categories)


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
    vectors = ClassedVectors(np.arange(count), np.eye(count, 4, dtype=np.float32), np.array(categories))
    assert cluster_quality([vectors]) is None
