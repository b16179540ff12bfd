"""Paired comparison of runs on the same boxes.

Differences are taken box by box, and whole images are resampled for their intervals (see `mal.metrics.bootstrap`).
The difficulty of an image is common to all runs and cancels out, so that differences smaller than the runs' own
intervals are detected.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from mal.metrics.bootstrap import RESAMPLES, SEED, percentile_interval, resampled_class_means, resampled_means
from mal.metrics.iou import dice_from_iou
from mal.metrics.summary import SHARES
from mal.size_bins import BIN_ENDS, SIZE_NAMES

# Of a class. Intervals of few images are too narrow: of two runs that are equal, simulated boxes in 5 images are called
# different 15 times in 100 instead of 5, in 10 images 10 times, in 20 images 8 times.
ENOUGH_IMAGES = 10
CHANGED = 0.01  # smaller differences in IoU count as unchanged

Values = npt.NDArray[np.float64]
Verdict = Literal["better", "worse", "same", "unclear"]


@dataclass(frozen=True, slots=True)
class PairedBoxes:
    """Metrics of N boxes in each of R runs.

    Attributes:
        iou: (N, R), with the true mask.
        boundary_iou: (N, R).
        images: (N,), a number for the image of each box.
        classes: (N,), a number for its class.
        box_areas: (N,), pixels of the image.
    """

    iou: Values
    boundary_iou: Values
    images: npt.NDArray[np.int64]
    classes: npt.NDArray[np.int64]
    box_areas: Values


@dataclass(frozen=True, slots=True)
class Difference:
    """Difference of a metric: a run minus the first run.

    Attributes:
        mean: above 0 the run is better than the first.
        interval: where the difference lies with 95 % probability; None of a single image, and of a class in
            fewer than :data:`ENOUGH_IMAGES`.
        certainty: how sure it is that the difference is not zero, 0..1: one less the two-sided p value of the draws.
            It never reaches 1, since the draws are finite; None as of ``interval``.
    """

    mean: float
    interval: tuple[float, float] | None = None
    certainty: float | None = None

    @property
    def verdict(self) -> Verdict:
        """``unclear`` if the interval contains zero or is unknown."""
        low, high = self.interval or (min(self.mean, 0.0), max(self.mean, 0.0))
        if low > 0:
            return "better"
        if high < 0:
            return "worse"
        return "same" if self.mean == low == high == 0 else "unclear"


@dataclass(frozen=True, slots=True)
class ComparedFigure:
    """One figure of all runs.

    Attributes:
        boxes, images: how many it is made of.
        values: of each run, 0..1.
        differences: of each run but the first.
    """

    boxes: int
    images: int
    values: tuple[float, ...]
    differences: tuple[Difference, ...]

    def pair(self, run: int) -> ComparedFigure:
        """The figure of the first run and one other, by its number from 1."""
        return ComparedFigure(self.boxes, self.images, (self.values[0], self.values[run]), (self.differences[run - 1],))


@dataclass(frozen=True, slots=True)
class Changes:
    """Numbers of boxes whose IoU rises, falls (by more than :data:`CHANGED`) or stays, against the first run."""

    higher: int
    lower: int
    equal: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """Result of comparing R runs.

    Attributes:
        boxes, images: how many were compared.
        figures: by the names of ``metrics.json``; one without a box is not there.
        classes: mean IoU over the boxes of each class, by its number.
        changes: of each run but the first.
    """

    boxes: int
    images: int
    figures: dict[str, ComparedFigure]
    classes: dict[int, ComparedFigure]
    changes: tuple[Changes, ...]


def compare(paired: PairedBoxes, *, resamples: int = RESAMPLES, seed: int = SEED) -> Comparison:
    """Compare each run with the first; all runs and figures share the draws of images.

    Args:
        paired: at least one box and one run.
        resamples: how many draws of images.
        seed: of the draws.

    Raises:
        ValueError: there is no box.
    """
    num_boxes, _ = paired.iou.shape
    if not num_boxes:
        raise ValueError("no box to compare")
    draws = _Draws(resamples, seed)
    figures = {"miou_classes": draws.class_means(paired)}
    columns = {"miou_instances": paired.iou, "boundary_iou_instances": paired.boundary_iou}
    columns["dice_instances"] = dice_from_iou(paired.iou)
    columns |= {name: (paired.iou >= least).astype(np.float64) for name, least in SHARES.items()}
    figures |= draws.means(columns, paired.images)
    sizes = np.searchsorted(BIN_ENDS, paired.box_areas)
    for number, size in enumerate(SIZE_NAMES):
        chosen = sizes == number
        if chosen.any():
            figures |= draws.means({f"miou_instances_{size}": paired.iou[chosen]}, paired.images[chosen])
    return Comparison(
        boxes=num_boxes,
        images=len(np.unique(paired.images)),
        figures=figures,
        classes={number: draws.class_figure(paired, number) for number in np.unique(paired.classes).tolist()},
        changes=tuple(_changes(values - paired.iou[:, 0]) for values in paired.iou.T[1:]),
    )


def largest_changes(paired: PairedBoxes, run: int, count: int) -> tuple[list[int], list[int]]:
    """Find the boxes with the largest differences between a run and the first, largest first.

    Args:
        paired: the boxes.
        run: number of the run, from 1.
        count: how many of each.

    Returns:
        Rows whose IoU is higher than in the first run, and rows whose IoU is lower.
    """
    rises = paired.iou[:, run] - paired.iou[:, 0]
    order = np.argsort(-rises, kind="stable")
    higher, lower = order[rises[order] > 0], order[::-1][rises[order[::-1]] < 0]
    return higher[:count].tolist(), lower[:count].tolist()


@dataclass(frozen=True, slots=True)
class _Draws:
    resamples: int
    seed: int

    def class_means(self, paired: PairedBoxes) -> ComparedFigure:
        _, numbers = np.unique(paired.classes, return_inverse=True)
        sums = np.stack([np.bincount(numbers, values) for values in paired.iou.T], axis=1)
        means = (sums / np.bincount(numbers)[:, None]).mean(0)
        if len(np.unique(paired.images)) < 2:
            return _figure(means, paired.images)
        samples = resampled_class_means(
            paired.iou, paired.images, paired.classes, resamples=self.resamples, seed=self.seed
        )
        return _figure(means, paired.images, samples)

    def means(
        self, columns: dict[str, Values], images: npt.NDArray[np.int64], *, enough: bool = True
    ) -> dict[str, ComparedFigure]:
        """Figures by name; each column is (N, R)."""
        values = np.concatenate(list(columns.values()), axis=1)
        means = np.split(values.mean(0), len(columns))
        if not enough or len(np.unique(images)) < 2:
            return {name: _figure(mean, images) for name, mean in zip(columns, means, strict=True)}
        drawn = resampled_means(values, images, resamples=self.resamples, seed=self.seed)
        samples = np.split(drawn, len(columns), axis=1)
        return {name: _figure(mean, images, part) for name, mean, part in zip(columns, means, samples, strict=True)}

    def class_figure(self, paired: PairedBoxes, number: int) -> ComparedFigure:
        chosen = paired.classes == number
        images = paired.images[chosen]
        enough = len(np.unique(images)) >= ENOUGH_IMAGES
        return self.means({"": paired.iou[chosen]}, images, enough=enough)[""]


def _figure(means: Values, images: npt.NDArray[np.int64], samples: Values | None = None) -> ComparedFigure:
    """Build it from means (R,) and resampled means (B, R)."""
    differences: Sequence[float] = (means[1:] - means[0]).tolist()
    if samples is None:
        found = tuple(Difference(mean) for mean in differences)
    else:
        drawn = samples[:, 1:] - samples[:, :1]
        found = tuple(
            Difference(mean, percentile_interval(column), _certainty(column))
            for mean, column in zip(differences, drawn.T, strict=True)
        )
    return ComparedFigure(len(images), len(np.unique(images)), tuple(means.tolist()), found)


def _certainty(samples: Values) -> float:
    # One is added to both counts so that a finite number of draws never proves anything (Davison and Hinkley 1997).
    on_the_rarer_side = min(int((samples <= 0).sum()), int((samples >= 0).sum()))
    return 1 - min(1.0, 2 * (on_the_rarer_side + 1) / (len(samples) + 1))


def _changes(rises: Values) -> Changes:
    higher, lower = int((rises > CHANGED).sum()), int((rises < -CHANGED).sum())
    return Changes(higher, lower, len(rises) - higher - lower)
