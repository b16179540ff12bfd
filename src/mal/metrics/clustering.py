"""How well the network's instance vectors tell classes apart, though it was never told a class."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.clustering import CalinskiHarabaszScore, DaviesBouldinScore


class ClusterQuality(nn.Module):
    """Two standard scores of labelled clusters, over batches and processes."""

    def __init__(self) -> None:
        super().__init__()
        self.scores = nn.ModuleDict(
            {"calinski_harabasz": CalinskiHarabaszScore(), "davies_bouldin": DaviesBouldinScore()}
        )

    def update(self, vectors: Tensor, categories: Tensor) -> None:
        """Add instances.

        Args:
            vectors: (B, D) float instance vectors.
            categories: (B,) int64 class numbers.
        """
        for score in self._scores():
            score.update(vectors.float(), categories.to(vectors.device))

    def compute(self) -> dict[str, float]:
        """``calinski_harabasz`` (larger is better) and ``davies_bouldin`` (smaller is better)."""
        return {name: float(score.compute()) for name, score in zip(self.scores, self._scores(), strict=True)}

    def _scores(self) -> list[Metric]:
        return [cast(Metric, score) for score in self.scores.values()]
