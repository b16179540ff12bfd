"""The score of a mask: its expected IoU, from features that need no forward pass.

The score combines three features: the network's own confidence, how well the contour follows edges of the image, and
how much the colors of the mask differ from those around it. All are computed on the crop at a fixed size, so that time
and scale are the same for every box. docs/scores.md says how well each of them ranks masks, how the weights were
fitted, and which other features were rejected.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from mal.masks.paste import PastedMask
from mal.ops.arrays import area_means

SIDE = 64  # at 32 edges are lost, 128 ranks no better
COLOR_STEPS = 8  # of each of red, green and blue
RANDOM_COSINE = 2 / math.pi  # the mean of |cos| where directions have nothing to do with each other

Map = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]
PixelT = TypeVar("PixelT", bound=np.generic)


@dataclass(frozen=True, slots=True)
class ScoreFeatures:
    """Features of a mask, each 0..1; higher is better.

    Attributes:
        confidence: see :func:`expected_iou`.
        edges: see :func:`edge_agreement`.
        colors: see :func:`color_contrast`.
    """

    confidence: float
    edges: float
    colors: float


BIAS = -5.2
WEIGHTS = ScoreFeatures(confidence=3.0, edges=4.0, colors=0.85)
# A graph cut raises the contrast of colors, and leaves the network's probabilities behind: so its masks have weights of
# their own, by `python -m benchmarks.refine_choice`.
REFINED_BIAS = -4.9
REFINED_WEIGHTS = ScoreFeatures(confidence=2.5, edges=3.7, colors=2.1)


def combine_features(features: ScoreFeatures, *, is_refined: bool = False) -> float:
    """Estimate the IoU with the true mask, 0..1: a logistic function that rises with each feature.

    Args:
        features: of the mask.
        is_refined: whether it is the work of a graph cut.
    """
    bias, weights = (REFINED_BIAS, REFINED_WEIGHTS) if is_refined else (BIAS, WEIGHTS)
    total = (
        bias
        + weights.confidence * features.confidence
        + weights.edges * features.edges
        + weights.colors * features.colors
    )
    return 1 / (1 + math.exp(-total))


def score_mask(mask: PastedMask, prob: Map, pixels: Bytes, box_mask: Bytes, frame: Sequence[int]) -> float:
    """Score a post-processed mask, 0..1; an empty mask scores 0.

    Args:
        mask: the mask after post-processing.
        prob: (S, S) float32 in 0..1, the crop's probabilities.
        pixels: (3, S, S) uint8, the crop.
        box_mask: (S, S) uint8, 1 where a mask may be, else 0.
        frame: x0, y0, x1, y1 of the crop in pixels of the full image, end exclusive.
    """
    if not mask.window.any():
        return 0.0
    features = score_features(mask_in_crop(mask, frame), prob, pixels, box_mask)
    score = combine_features(features, is_refined=mask.is_refined)
    return round(score, 4)  # further digits mean nothing and differ between machines


def score_features(mask: npt.NDArray[np.bool_], prob: Map, pixels: Bytes, box_mask: Bytes) -> ScoreFeatures:
    """Compute the features of a mask.

    Args:
        mask: (T, T) bool, the mask in its crop, at any resolution; see :func:`mask_in_crop`.
        prob, pixels, box_mask: as of :func:`score_mask`.
    """
    share, believed, inside, colors = (area_means(maps, SIDE) for maps in (mask, prob, box_mask, pixels))
    return ScoreFeatures(
        confidence=expected_iou(share, believed),
        edges=edge_agreement(believed, colors, inside > 0.999),
        colors=color_contrast(share, colors),
    )


def expected_iou(mask: Map, prob: Map) -> float:
    """Expected IoU under the network's probabilities: expected intersection over expected union.

    Source: soft Dice confidence (arXiv 2402.10665), for the IoU in place of the Dice coefficient.

    Args:
        mask: (H, W) float32, the share of each pixel that is in the mask, 0..1.
        prob: (H, W) float32 in 0..1.

    Returns:
        0..1; 1 where the network is certain of every pixel of the mask and of nothing else, 0 for an empty mask.
    """
    union = float((mask + (1 - mask) * prob).sum())
    return min(float((mask * prob).sum()) / union, 1.0) if union else 0.0


def edge_agreement(prob: Map, pixels: Map, inside: npt.NDArray[np.bool_]) -> float:
    """How well the contour follows image edges: agreement of probability and color gradients.

    The mean absolute cosine between the two gradients over the pixels in the box, weighted by the probability's
    gradient. The border of the box itself is left out, because masks are cut off there.

    Source: the normalized gradient fields that register images (Haber and Modersitzki, MICCAI 2006); for colors the
    cosine is the length of the color change along the probability's gradient, as a share of all color change.

    Args:
        prob: (H, W) float32 in 0..1.
        pixels: (3, H, W) float32 in 0..255.
        inside: (H, W) bool, the box.

    Returns:
        0..1: 1 where they are parallel throughout, 0 where nothing changes color, and what chance would give where the
        probabilities are the same everywhere in the box.
    """
    counts = _without_border(inside)
    rise, change = _gradient(prob), _gradient(pixels)
    along = np.sqrt(((rise[:, None] * change).sum(axis=0) ** 2).sum(axis=0))
    steepness, contrast = np.sqrt((rise**2).sum(axis=0)), np.sqrt((change**2).sum(axis=(0, 1)))
    total = float(steepness[counts].sum())
    if total < 1e-6:
        return RANDOM_COSINE
    cosine_times_steepness = along / (contrast + 1)  # 1 is less than a step of one gray value: it keeps 0 / 0 away
    return min(float(cosine_times_steepness[counts].sum()) / total, 1.0)


def color_contrast(mask: Map, pixels: Map) -> float:
    """Color contrast of mask and surroundings: 1 less the intersection of their color histograms.

    Source: histogram intersection (Swain and Ballard, IJCV 1991).

    Args:
        mask: (H, W) float32, the share of each pixel that is in the mask, 0..1.
        pixels: (3, H, W) float32 in 0..255; all that is not mask counts as around it.

    Returns:
        0..1: 0 where both have the same colors in the same amounts, or where either is empty; 1 where none is in both.
    """
    red, green, blue = np.minimum(pixels * (COLOR_STEPS / 256), COLOR_STEPS - 1).astype(np.intp)
    color = ((red * COLOR_STEPS + green) * COLOR_STEPS + blue).ravel()
    here, around = (
        np.bincount(color, weights=weights.ravel(), minlength=COLOR_STEPS**3) for weights in (mask, 1 - mask)
    )
    if not here.sum() or not around.sum():
        return 0.0
    common = float(np.minimum(here / here.sum(), around / around.sum()).sum())
    return min(max(1 - common, 0.0), 1.0)


def mask_in_crop(mask: PastedMask, frame: Sequence[int], side: int = 4 * SIDE) -> npt.NDArray[np.bool_]:
    """Sample a mask in its crop, (side, side) bool, by the image pixel at the center of each crop pixel."""
    x0, y0, x1, y1 = frame
    steps = (np.arange(side) + 0.5) / side
    height, width = mask.window.shape
    rows = np.floor(y0 + steps * (y1 - y0)).astype(np.intp) - mask.y0
    columns = np.floor(x0 + steps * (x1 - x0)).astype(np.intp) - mask.x0
    in_rows, in_columns = (rows >= 0) & (rows < height), (columns >= 0) & (columns < width)
    result = np.zeros((side, side), dtype=np.bool_)
    part = mask.window.take(rows[in_rows], axis=0).take(columns[in_columns], axis=1)
    # What lies in the image is one run of rows and columns.
    top, left = in_rows.argmax(), in_columns.argmax()
    result[top : top + part.shape[0], left : left + part.shape[1]] = part
    return result


def _without_border(inside: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The pixels (H, W) of which all neighbors are inside too; the map is continued by its border."""
    padded = _padded(inside)
    rows = padded[:-2] & padded[1:-1] & padded[2:]
    return rows[:, :-2] & rows[:, 1:-1] & rows[:, 2:]


def _padded(maps: npt.NDArray[PixelT]) -> npt.NDArray[PixelT]:
    """Maps (..., H, W) with their border twice, (..., H + 2, W + 2)."""
    padded = np.empty((*maps.shape[:-2], maps.shape[-2] + 2, maps.shape[-1] + 2), maps.dtype)
    padded[..., 1:-1, 1:-1] = maps
    padded[..., 1:-1, 0], padded[..., 1:-1, -1] = maps[..., 0], maps[..., -1]
    padded[..., 0, :], padded[..., -1, :] = padded[..., 1, :], padded[..., -2, :]
    return padded


def _gradient(maps: Map) -> Map:
    """Sobel gradients of maps (..., H, W): (2, ..., H, W), down and across."""
    padded = _padded(maps)
    down, across = padded[..., 2:, :] - padded[..., :-2, :], padded[..., 2:] - padded[..., :-2]
    return np.stack(
        [
            down[..., 2:] + 2 * down[..., 1:-1] + down[..., :-2],
            across[..., 2:, :] + 2 * across[..., 1:-1, :] + across[..., :-2, :],
        ]
    )
