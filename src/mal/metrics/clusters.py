"""How well instance vectors fall into the classes of their boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class ClassedVectors:
    """Instance vectors of some boxes.

    Attributes:
        positions: (B,) int64, places of the annotations in the file.
        vectors: (B, D) float32.
        categories: (B,) int64 class numbers.
    """

    positions: npt.NDArray[np.int64]
    vectors: npt.NDArray[np.float32]
    categories: npt.NDArray[np.int64]


def cluster_quality(parts: Sequence[ClassedVectors]) -> dict[str, float] | None:
    """Compute two standard clustering metrics, independent of the order of the vectors.

    Args:
        parts: at least one.

    Returns:
        ``calinski_harabasz`` (larger is better) and ``davies_bouldin`` (smaller is better), or None where they are not
        defined: of one class, or where no class has two members.
    """
    import torch  # only checkpoints give vectors, and PyTorch runs them
    from torchmetrics.functional.clustering import calinski_harabasz_score, davies_bouldin_score

    order = np.concatenate([part.positions for part in parts]).argsort()
    vectors = torch.from_numpy(np.concatenate([part.vectors for part in parts])[order])
    categories = torch.from_numpy(np.concatenate([part.categories for part in parts])[order])
    if not 1 < len(categories.unique()) < len(categories):
        return None
    return {
        "calinski_harabasz": float(calinski_harabasz_score(vectors, categories)),
        "davies_bouldin": float(davies_bouldin_score(vectors, categories)),
    }
