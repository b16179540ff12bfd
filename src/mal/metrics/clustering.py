"""How well the network's instance vectors tell classes apart, though it was never told a class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torchmetrics.functional.clustering import calinski_harabasz_score, davies_bouldin_score


@dataclass(frozen=True, slots=True)
class ClassedVectors:
    """Instance vectors of some boxes.

    Attributes:
        positions: (B,) int64, places of the annotations in the file.
        vectors: (B, D) float32.
        categories: (B,) int64 class numbers.
    """

    positions: Tensor
    vectors: Tensor
    categories: Tensor


def cluster_quality(parts: Sequence[ClassedVectors]) -> dict[str, float] | None:
    """Two standard scores of labelled clusters, whatever the order in which their members come.

    Args:
        parts: at least one.

    Returns:
        ``calinski_harabasz`` (larger is better) and ``davies_bouldin`` (smaller is better), or None where they are not
        defined: of one class, or where no class has two members.
    """
    order = torch.cat([part.positions for part in parts]).argsort()
    vectors = torch.cat([part.vectors for part in parts])[order]
    categories = torch.cat([part.categories for part in parts])[order]
    if not 1 < len(categories.unique()) < len(categories):
        return None
    return {
        "calinski_harabasz": float(calinski_harabasz_score(vectors, categories)),
        "davies_bouldin": float(davies_bouldin_score(vectors, categories)),
    }
