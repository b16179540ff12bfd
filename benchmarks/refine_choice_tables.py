"""Tables of the study of cuts: what tells whether a cut helps, what choosing brings, and how true scores are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.stats import spearmanr

from benchmarks.graph_cut_study import ELLIPSE_STEEPNESS
from mal.auto.refinement import choose_refinement
from mal.masks.refine import CutWindow
from mal.masks.refine_choice import ChoiceFeatures, prefers_cut
from mal.masks.score import ScoreFeatures, combine_features
from mal.ops.graph_cut import graph_cut

Numbers = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
DRAWN = "gray"  # the set of drawn scenes
HARM = 0.1  # of IoU
FOLDS = 5
RIDGE = 1e-3
LARGEST_GAIN = 0.4  # a larger one counts no more than this in the fit
CHOICE = tuple(field.name for field in fields(ChoiceFeatures))
SCORE = tuple(field.name for field in fields(ScoreFeatures))


def _iou(first: Mask, second: Mask) -> float:
    return int((first & second).sum()) / max(int((first | second).sum()), 1)


def _box_mean(window: CutWindow, values: npt.NDArray[Any]) -> float:
    return float(values[window.inside].mean()) if window.inside.any() else 0.0


def _ellipse_cut(window: CutWindow) -> Mask:
    """The cut that starts from the ellipse in the box."""
    rows, columns = (np.flatnonzero(window.inside.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return window.inside
    down, across = (
        (np.arange(count) - (ends[0] + ends[-1]) / 2) / ((ends[-1] + 1 - ends[0]) / 2)
        for count, ends in zip(window.inside.shape, (rows, columns), strict=True)
    )
    ellipse = window.inside / (1 + np.exp(ELLIPSE_STEEPNESS * (np.hypot(down[:, None], across) - 1)))
    return graph_cut(window.image, ellipse, window.inside)


AGREEMENT = "IoU with the network's mask"
Candidate = Callable[[CutWindow, Mask, float], float]
CANDIDATES: Mapping[str, Candidate] = {
    "IoU with the ellipse's cut": lambda window, cut, threshold: _iou(cut, _ellipse_cut(window)),
    "certainty of the network": lambda window, cut, threshold: _box_mean(window, np.abs(2 * window.probability - 1)),
    "share of the box, network": lambda window, cut, threshold: _box_mean(window, window.probability > threshold),
    AGREEMENT: lambda window, cut, threshold: _iou(cut, window.inside & (window.probability > threshold)),
    "color, max - min": lambda window, cut, threshold: float(np.ptp(window.image, axis=2).mean() / 255),
}


@dataclass(frozen=True)
class Cuts:
    """What was found of N boxes.

    Attributes:
        name: network@set.
        network, cut: (N,) IoU of both masks with the true one.
        image: (N,), boxes of one image have the same number.
        choice: (N, 4), see :class:`mal.masks.refine_choice.ChoiceFeatures`.
        others: (N, C), of ``CANDIDATES``.
        score: (N, 2, 3), see :class:`mal.masks.score.ScoreFeatures`, of both masks.
    """

    name: str
    network: Numbers
    cut: Numbers
    image: Numbers
    choice: Numbers
    others: Numbers
    score: Numbers

    @classmethod
    def of_lines(cls, lines: Sequence[Sequence[float]], name: str = "") -> Cuts:
        """From a line for each box: both IoU, image, then the features in the order of the attributes."""
        table = np.array(lines, dtype=np.float64)
        ends = np.cumsum([1, 1, 1, len(CHOICE), len(CANDIDATES)])
        network, cut, image, choice, others, score = np.split(table, ends, axis=1)
        return cls(name, network[:, 0], cut[:, 0], image[:, 0], choice, others, score.reshape(-1, 2, len(SCORE)))

    @classmethod
    def read(cls, path: Path) -> Cuts:
        """What :meth:`write` wrote."""
        with np.load(path) as file:
            if file["names"].tolist() != [*CHOICE, *CANDIDATES, *SCORE]:
                raise SystemExit(f"{path}: is of another version of this study; remove it")
            return cls.of_lines(file["lines"], path.stem)

    def write(self, path: Path) -> None:
        """Write the file, complete or not at all."""
        whole = [self.network[:, None], self.cut[:, None], self.image[:, None], self.choice, self.others]
        lines = np.concatenate([*whole, self.score.reshape(len(self.cut), -1)], axis=1)
        draft = path.with_suffix(".part")
        with draft.open("wb") as file:
            np.savez(file, lines=lines, names=[*CHOICE, *CANDIDATES, *SCORE])
        draft.rename(path)

    @property
    def gain(self) -> Numbers:
        """(N,) IoU that the cut adds."""
        return self.cut - self.network

    def chosen(self, takes: npt.NDArray[np.bool_]) -> str:
        """Mean IoU, and the share of boxes that are harmed, of a choice (N,) as a cell."""
        return f"{np.where(takes, self.cut, self.network).mean():.3f} ({(takes & (self.gain < -HARM)).mean():.2f})"

    @property
    def agreement(self) -> float:
        """Mean IoU of both masks, by which `mal auto` refines a set or not."""
        return float(self.others[:, list(CANDIDATES).index(AGREEMENT)].mean())

    @property
    def product(self) -> npt.NDArray[np.bool_]:
        """(N,) the product's choice."""
        return np.array([prefers_cut(ChoiceFeatures(*line)) for line in self.choice.tolist()])


def feature_table(cuts: Sequence[Cuts]) -> str:
    """Spearman's correlation of each feature with what the cut gains."""
    lines = _head(["correlation with the gain", *(each.name for each in cuts)])
    for index, name in enumerate(CHOICE):
        lines.append(_line([f"**{name}**", *(_rank(each.choice[:, index], each.gain) for each in cuts)]))
    for index, name in enumerate(CANDIDATES):
        lines.append(_line([name, *(_rank(each.others[:, index], each.gain) for each in cuts)]))
    return "\n".join(lines)


def choice_table(cuts: Sequence[Cuts]) -> str:
    """Mean IoU and share of harmed boxes, of never, always, and of rules fitted on other images, networks or sets."""
    lines = _head(["choice", "boxes", "never", "always", "the better", "auto", "other images", "networks", "sets"])
    of_images = _by_images(cuts)
    for each, other_images in zip(cuts, of_images, strict=True):
        network, _, name = each.name.partition("@")
        choices = [
            np.zeros(len(each.cut), dtype=bool),
            np.ones(len(each.cut), dtype=bool),
            each.gain > 0,
            each.product,
            other_images,
            _taken(each, [other for other in cuts if not other.name.startswith(f"{network}@")]),
            _taken(each, [other for other in cuts if not other.name.endswith(f"@{name}")]),
        ]
        cells = [each.chosen(takes) if takes is not None else "" for takes in choices]
        lines.append(_line([each.name, str(len(each.cut)), *cells]))
    return "\n".join(lines)


def set_table(cuts: Sequence[Cuts]) -> str:
    """Mean IoU of sets without and with refinement, the surest set first."""
    lines = _head(["network, boxes", "number", "agreement", "not refined", "refined", "mal auto refines"])
    for each in sorted(cuts, key=lambda each: -each.agreement):
        refines = "yes" if choose_refinement(each.agreement).refine == "graph_cut" else "no"
        means = f"{each.network.mean():.3f}", f"{each.cut.mean():.3f}"
        lines.append(_line([each.name, str(len(each.cut)), f"{each.agreement:.3f}", *means, refines]))
    return "\n".join(lines)


def score_table(cuts: Sequence[Cuts]) -> str:
    """How well the score ranks masks, and how true it is, of the network's masks and of cut ones."""
    lines = _head(["score", "network: rank", "IoU", "score", "cut: rank", "IoU", "score", "score as for the network's"])
    for each in cuts:
        cells = []
        for index, iou in enumerate((each.network, each.cut)):
            score = _scores(each.score[:, index], is_refined=bool(index))
            cells += [_rank(score, iou), f"{iou.mean():.3f}", f"{score.mean():.3f}"]
        as_before = _scores(each.score[:, 1], is_refined=False)
        lines.append(_line([each.name, *cells, f"{as_before.mean():.3f}"]))
    return "\n".join(lines)


def fitted_text(cuts: Sequence[Cuts]) -> str:
    """Numbers for the product, found on all boxes, those of the score on photos alone; each file counts the same."""
    choice = _fit_choice([each.choice for each in cuts], [each.gain for each in cuts])
    photos = [each for each in cuts if not each.name.endswith(f"@{DRAWN}")] or cuts
    score = _fit_score([each.score[:, 1] for each in photos], [each.cut for each in photos])
    return "\n".join(
        f"{what}: bias {weights[-1]:.3f}; "
        + ", ".join(f"{name} {weight:.3f}" for name, weight in zip(names, weights[:-1], strict=True))
        for what, names, weights in (("choice", CHOICE, choice), ("score of refined masks", SCORE, score))
    )


def _by_images(cuts: Sequence[Cuts]) -> list[npt.NDArray[np.bool_]]:
    """The choices of rules that were fitted on the other images of all files."""
    folds = [_folds(each.image) for each in cuts]
    takes = [np.zeros(len(each.cut), dtype=bool) for each in cuts]
    for fold in range(FOLDS):
        rest = [numbers != fold for numbers in folds]
        weights = _fit_choice(
            [each.choice[kept] for each, kept in zip(cuts, rest, strict=True)],
            [each.gain[kept] for each, kept in zip(cuts, rest, strict=True)],
        )
        for each, kept, taken in zip(cuts, rest, takes, strict=True):
            taken[~kept] = each.choice[~kept] @ weights[:-1] + weights[-1] > 0
    return takes


def _folds(images: Numbers) -> npt.NDArray[np.intp]:
    """The fold of each box: that of its image, which is the same in every file."""
    order = np.random.default_rng(0).permutation(int(images.max()) + 1)
    return order[images.astype(np.intp)] % FOLDS


def _taken(each: Cuts, others: Sequence[Cuts]) -> npt.NDArray[np.bool_] | None:
    """The choices of a rule that was fitted on other files; None without any."""
    if not others:
        return None
    weights = _fit_choice([other.choice for other in others], [other.gain for other in others])
    return np.asarray(each.choice @ weights[:-1] + weights[-1] > 0)


def _fit_choice(features: Sequence[Numbers], gains: Sequence[Numbers]) -> Numbers:
    """A logistic regression of whether the cut gains, in which each box counts by how much it gains or loses."""
    gain = np.clip(np.concatenate(gains), -LARGEST_GAIN, LARGEST_GAIN)
    return _logistic(np.concatenate(features), (gain > 0).astype(float), _evenly(gains) * np.abs(gain))


def _fit_score(features: Sequence[Numbers], ious: Sequence[Numbers]) -> Numbers:
    """A logistic regression of the IoU."""
    return _logistic(np.concatenate(features), np.concatenate(ious), _evenly(ious))


def _evenly(sets: Sequence[Numbers]) -> Numbers:
    return np.concatenate([np.full(len(each), 1 / max(len(each), 1)) for each in sets])


def _logistic(features: Numbers, target: Numbers, counts: Numbers) -> Numbers:
    """Weights, then the bias; ``target`` in 0..1, ``counts`` is how much each line counts."""
    share = counts / counts.sum()
    mean = share @ features
    spread = np.sqrt(share @ (features - mean) ** 2) + 1e-9
    scaled = np.c_[(features - mean) / spread, np.ones(len(features))]

    def loss(weights: Numbers) -> tuple[float, Numbers]:
        odds, ridge = scaled @ weights, np.r_[weights[:-1], 0]
        slope: Numbers = scaled.T @ (share * (1 / (1 + np.exp(-odds)) - target)) + 2 * RIDGE * ridge
        return float(share @ (np.logaddexp(0, odds) - target * odds) + RIDGE * ridge @ ridge), slope

    found: Numbers = minimize(loss, np.zeros(scaled.shape[1]), jac=True).x
    weights = found[:-1] / spread
    return np.r_[weights, found[-1] - weights @ mean]


def _scores(features: Numbers, *, is_refined: bool) -> Numbers:
    return np.array([combine_features(ScoreFeatures(*line), is_refined=is_refined) for line in features.tolist()])


def _rank(values: Numbers, target: Numbers) -> str:
    return f"{spearmanr(values, target).statistic:.2f}" if np.ptp(values) and np.ptp(target) else "-"


def _head(columns: Sequence[str]) -> list[str]:
    return [_line(columns), "| --- " * len(columns) + "|"]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
