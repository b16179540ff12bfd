from __future__ import annotations

import pytest
import torch

from mal.metrics.clustering import ClassedVectors, cluster_quality


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
