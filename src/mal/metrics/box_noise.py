"""Robustness to box noise: metrics with moved and resized boxes."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from mal.metrics.bootstrap import percentile_interval, resampled_means
from mal.metrics.instance_table import ELLIPSE, METHODS, MODEL
from mal.metrics.results import Count, Figures, Interval, Share, figure

NoiseKind = Literal["shift", "scale", "both"]
KINDS: tuple[NoiseKind, ...] = ("shift", "scale", "both")
LEVELS = (0.02, 0.05, 0.10, 0.15, 0.20)
SEED = 0

NOISY = np.dtype([("position", np.int64), ("image", np.int64), ("iou", np.float64, len(METHODS))])
"""A box under noise: its annotation, its image, and the IoU with the true mask of each of the methods."""

NoisyTable = npt.NDArray[np.void]
"""(N,) rows of :data:`NOISY`."""


def noisy_boxes(
    xyxy: npt.NDArray[np.float64],
    positions: npt.NDArray[np.int64],
    image_sizes: npt.NDArray[np.int64],
    kind: NoiseKind,
    level: float,
) -> npt.NDArray[np.float64]:
    """Add noise to boxes and clip them to their images.

    Each annotation has four numbers of its own, uniform in -1..1, the same in every run, process, kind and level: more
    noise carries a box farther along one path. Two of them move the box by up to ``level`` times its width and height;
    the others make its width and its height larger or smaller by a factor of up to 1 + ``level``, about its center.

    Args:
        xyxy: (N, 4) corners in pixels, inside the images.
        positions: (N,) positions of the annotations, which the draws go by.
        image_sizes: (N, 2) width and height in pixels.
        kind: what is done to the boxes.
        level: how much, as a share of the sides; below 0.5, so that some of every box stays inside its image.
    """
    draws = np.array([np.random.default_rng([SEED, position]).uniform(-1, 1, 4) for position in positions.tolist()])
    draws = draws.reshape(-1, 4)
    center, size = (xyxy[:, :2] + xyxy[:, 2:]) / 2, xyxy[:, 2:] - xyxy[:, :2]
    if kind != "scale":
        center = center + draws[:, :2] * level * size
    if kind != "shift":
        size = size * (1 + level) ** draws[:, 2:]
    start, end = center - size / 2, center + size / 2
    return np.concatenate([np.maximum(start, 0), np.minimum(end, image_sizes)], axis=1)


class NoiseFigures(Figures):
    """Mean IoU over boxes at one level of noise."""

    level: float = figure("most that a side moves, or its length changes, as a share of the side; 0 is without noise")
    model: Share = figure("of the network's masks")
    box: Share = figure("of the filled noisy box")
    ellipse: Share = figure("of the ellipse inscribed in the noisy box")
    model_interval: Interval | None = figure("95 % interval of `model`; null of a single image")
    model_minus_ellipse: float = figure("the difference")
    model_minus_ellipse_interval: Interval | None = figure("its 95 % interval")


class BoxNoise(Figures):
    """The whole of ``box_noise.json``; each curve has a point for every level, without noise first."""

    boxes: Count = figure("number of boxes that noise was added to, chosen evenly from the file")
    boxes_evaluated: Count = figure("number of boxes that the evaluation has")
    images: Count = figure("number of their images")
    shift: list[NoiseFigures] = figure("boxes moved by up to `level` of their width and height")
    scale: list[NoiseFigures] = figure("width and height changed by a factor of up to 1 + `level` about the centre")
    both: list[NoiseFigures] = figure("moved and scaled")


def noise_figures(level: float, table: NoisyTable) -> NoiseFigures:
    """Means of at least one box and, where there are several images, their intervals."""
    means = dict(zip(METHODS, table["iou"].mean(axis=0).tolist(), strict=True))
    model, ellipse = (table["iou"][:, METHODS.index(method)] for method in (MODEL, ELLIPSE))
    intervals: list[Interval | None] = [None, None]
    if len(np.unique(table["image"])) > 1:
        columns = np.column_stack([model, model - ellipse])
        intervals = [percentile_interval(column) for column in resampled_means(columns, table["image"]).T]
    return NoiseFigures(
        level=level,
        **means,
        model_interval=intervals[0],
        model_minus_ellipse=means[MODEL] - means[ELLIPSE],
        model_minus_ellipse_interval=intervals[1],
    )
