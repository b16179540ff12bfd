"""Tables of the study of scores: who ranks masks well, what a look at the worst brings, and how true scores are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.stats import spearmanr

from benchmarks.mask_features import FEATURES, PRODUCT
from mal.masks.score import ScoreFeatures, combine_features

Numbers = npt.NDArray[np.float64]
RIDGE = 1e-4
FOLDS = 10
COMBINED = {
    "confidence, edges, colours": PRODUCT,
    "without confidence": ("edges", "colours"),
    "without edges": ("confidence", "colours"),
    "without colours": ("confidence", "edges"),
    "and edge height": (*PRODUCT, "edge height"),
    "and compactness": (*PRODUCT, "compactness"),
    "and compactness, share and size of the box": (
        *PRODUCT,
        "compactness",
        "share of the box",
        "smallness of the box",
    ),
    "and box fit": (*PRODUCT, "box fit"),
    "and stability": (*PRODUCT, "stability"),
    "and random field": (*PRODUCT, "random field"),
    "and flip": (*PRODUCT, "flip"),
    "and other network": (*PRODUCT, "other network"),
    "and random field, flip, other network": (*PRODUCT, "random field", "flip", "other network"),
    "stability, box fit, random field, flip, other network": (
        "stability",
        "box fit",
        "random field",
        "flip",
        "other network",
    ),
    "all": tuple(FEATURES),
}


@dataclass(frozen=True, slots=True)
class Heard:
    """What was said about N masks.

    Attributes:
        name: of the file.
        said: (N, number of features).
        iou: (N,) the true IoU.
        image: (N,) int, boxes of one image have the same number.
    """

    name: str
    said: Numbers
    iou: Numbers
    image: npt.NDArray[np.int64]

    @classmethod
    def read(cls, path: Path) -> Heard:
        """What ``hear`` wrote."""
        with np.load(path) as file:
            if file["names"].tolist() != list(FEATURES):
                raise SystemExit(f"{path}: is of another version of this study; hear the witnesses again")
            return cls(path.stem, file["said"], file["iou"], file["image"])

    def of(self, names: Sequence[str]) -> Numbers:
        """(N, len(names)): what these say."""
        return self.said[:, [list(FEATURES).index(name) for name in names]]

    @property
    def score(self) -> Numbers:
        """(N,) the product's score."""
        return np.array([combine_features(ScoreFeatures(*parts)) for parts in self.of(PRODUCT).tolist()])


def parts_table(sets: Sequence[Heard], fitted: Sequence[Heard]) -> str:
    """Spearman correlations with the true IoU: each feature, the product's score, and weights found for combinations.

    The weights of a combination come from the boxes to be fitted on; without such, from the other images of each set.
    """
    lines = _head(["Spearman correlation with the true IoU", "passes", *(each.name for each in sets)])
    for name, feature in FEATURES.items():
        lines.append(_line([name, str(feature.passes), *(_rank(each.of([name])[:, 0], each.iou) for each in sets)]))
    lines.append(_line(["**mask_score**", "0", *(f"**{_rank(each.score, each.iou)}**" for each in sets)]))
    for title, names in COMBINED.items():
        passes = sum(FEATURES[name].passes for name in names)
        found = [_predicted(each, names, fitted) for each in sets]
        ranks = [_rank(one, each.iou) for one, each in zip(found, sets, strict=True)]
        lines.append(_line([f"weights anew: {title}", str(passes), *ranks]))
    return "\n".join(lines)


def lift_table(sets: Sequence[Heard], share: float = 0.1) -> str:
    """Mean IoU when a tenth of the masks is dropped, and when a person draws it anew."""
    columns = ["masks", "all", "worst tenth dropped by score", "by true IoU", "at random"]
    lines = _head([*columns, "drawn anew by score", "by true IoU", "at random"])
    for each in sets:
        mean = float(each.iou.mean())
        by_score, by_truth = _without_worst(each, each.score, share), _without_worst(each, each.iou, share)
        dropped = [by_score, by_truth, mean]
        drawn = [kept * (1 - share) + share for kept in dropped]
        lines.append(_line([each.name, *(f"{value:.4f}" for value in (mean, *dropped, *drawn))]))
    return "\n".join(lines)


def reliability_table(heard: Heard) -> str:
    """How true scores are as estimates of the IoU: their means among masks of like score."""
    lines = _head([f"{heard.name}: score", "masks", "mean score", "mean IoU"])
    score = heard.score
    for start in np.arange(0, 1, 0.1):
        inside = (score >= start) & (score < start + 0.1)
        if inside.any():
            means = [f"{values[inside].mean():.3f}" for values in (score, heard.iou)]
            lines.append(_line([f"{start:.1f} to {start + 0.1:.1f}", str(int(inside.sum())), *means]))
    error = np.abs(score - heard.iou).mean()
    lines.append(_line(["all", str(len(score)), f"{score.mean():.3f}", f"{heard.iou.mean():.3f}"]))
    return "\n".join([*lines, f"\nmean distance of the score from the true IoU: {error:.3f}"])


def weights_text(fitted: Sequence[Heard]) -> str:
    """Bias and weights of the product's parts, found on some boxes."""
    weights = _fit(_pooled(fitted, PRODUCT), np.concatenate([each.iou for each in fitted]), _evenly(fitted))
    return f"bias {weights[-1]:.3f}; " + ", ".join(
        f"{name} {weight:.3f}" for name, weight in zip(PRODUCT, weights[:-1], strict=True)
    )


def _predicted(heard: Heard, names: Sequence[str], fitted: Sequence[Heard]) -> Numbers:
    if fitted:
        weights = _fit(_pooled(fitted, names), np.concatenate([each.iou for each in fitted]), _evenly(fitted))
        return _logistic(heard.of(names), weights)
    predicted = np.zeros(len(heard.iou))
    for inside in _folds(heard.image):
        weights = _fit(heard.of(names)[~inside], heard.iou[~inside], np.ones(int((~inside).sum())))
        predicted[inside] = _logistic(heard.of(names)[inside], weights)
    return predicted


def _pooled(sets: Sequence[Heard], names: Sequence[str]) -> Numbers:
    return np.concatenate([each.of(names) for each in sets])


def _evenly(sets: Sequence[Heard]) -> Numbers:
    """Each set counts the same, however many boxes it has."""
    return np.concatenate([np.full(len(each.iou), 1 / len(each.iou)) for each in sets])


def _folds(images: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.bool_]]:
    numbers = np.random.default_rng(0).permutation(np.unique(images))
    for fold in range(min(FOLDS, len(numbers))):
        yield np.isin(images, numbers[fold::FOLDS])


def _fit(said: Numbers, iou: Numbers, counts: Numbers) -> Numbers:
    """Weights, then the bias, of a logistic regression of the IoU; ``counts`` is how much each box counts."""
    mean, spread = said.mean(axis=0), said.std(axis=0) + 1e-9
    scaled, share = np.c_[(said - mean) / spread, np.ones(len(said))], counts / counts.sum()

    def loss(weights: Numbers) -> tuple[float, Numbers]:
        odds = scaled @ weights
        ridge = np.r_[weights[:-1], 0]
        value = float(share @ (np.logaddexp(0, odds) - iou * odds) + RIDGE * ridge @ ridge)
        slope: Numbers = scaled.T @ (share * (_sigmoid(odds) - iou)) + 2 * RIDGE * ridge
        return value, slope

    found: Numbers = minimize(loss, np.zeros(scaled.shape[1]), jac=True).x
    weights = found[:-1] / spread
    return np.r_[weights, found[-1] - weights @ mean]


def _logistic(said: Numbers, weights: Numbers) -> Numbers:
    return _sigmoid(said @ weights[:-1] + weights[-1])


def _sigmoid(odds: Numbers) -> Numbers:
    values: Numbers = 1 / (1 + np.exp(-odds))
    return values


def _without_worst(heard: Heard, by: Numbers, share: float) -> float:
    kept = np.argsort(by, kind="stable")[round(share * len(by)) :]
    return float(heard.iou[kept].mean())


def _rank(values: Numbers, iou: Numbers) -> str:
    return f"{spearmanr(values, iou).statistic:.3f}" if np.ptp(values) else "-"


def _head(columns: Sequence[str]) -> list[str]:
    return [_line(columns), "| --- " * len(columns) + "|"]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
