"""Choose, box by box, between the mask of the network and the one that a graph cut makes of it.

A cut raises color contrast and agreement with edges whether or not it improves the mask, and both masks fit their box.
So the choice rests on none of these, hence not on :mod:`mal.masks.score`, but on how little the cut depends on its
smoothness, on how much of the box it fills, and on size and shape of the box. docs/quality.md says what it brings, and
what else was tried.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
import numpy.typing as npt

from mal.masks.paste import PastedMask, paste_mask
from mal.masks.pixel_iou import pixel_iou
from mal.masks.refine import CropPixels, CutWindow, Mask

HALF_SMOOTHNESS = 8.0  # nats, see `mal.ops.graph_cut.graph_cut`


@dataclass(frozen=True, slots=True)
class ChoiceFeatures:
    """Features of a cut.

    Attributes:
        stability: IoU of the cut with another one of half the smoothness; 0..1.
        fill: share of the box that the cut fills; 0..1.
        size: logarithm of the number of pixels of the box that are cut, which are at most :data:`mal.masks.refine.SIDE`
            in a row; 0 or more.
        elongation: logarithm of the longer side of the box over the shorter one; 0 or more.
    """

    stability: float
    fill: float
    size: float
    elongation: float


# By `python -m benchmarks.refine_choice`; docs/quality.md names the networks and boxes.
BIAS = -6.2
WEIGHTS = ChoiceFeatures(stability=2.8, fill=2.5, size=0.49, elongation=-0.87)


def prefers_cut(features: ChoiceFeatures) -> bool:
    """Whether a mask is expected to gain by its cut."""
    pairs = zip(astuple(WEIGHTS), astuple(features), strict=True)
    return BIAS + sum(weight * value for weight, value in pairs) > 0


def choice_features(window: CutWindow, cut: Mask, threshold: float) -> ChoiceFeatures:
    """Compute the features of a window's cut, which takes another cut.

    Args:
        window: with a box of at least a pixel.
        cut: (h, w) bool, by :meth:`CutWindow.cut`.
        threshold: of that cut.
    """
    height, width = (np.ptp(np.flatnonzero(window.inside.any(axis=axis))) + 1 for axis in (1, 0))
    return ChoiceFeatures(
        stability=pixel_iou(cut, window.cut(threshold, smoothness=HALF_SMOOTHNESS)),
        fill=float(cut[window.inside].mean()),
        size=math.log(window.inside.sum()),
        elongation=abs(math.log(width / height)),
    )


def chosen_mask(
    prob: npt.NDArray[np.float32],
    pixels: CropPixels,
    frame: Sequence[int],
    image_size: tuple[int, int],
    threshold: float,
) -> PastedMask:
    """The mask of :func:`mal.masks.refine.graph_cut_mask` where that is expected to be better, else of ``paste_mask``.

    Arguments as of both.
    """
    window = CutWindow.of(prob, pixels, frame, image_size)
    if window.inside.any():
        cut = window.cut(threshold)
        if prefers_cut(choice_features(window, cut, threshold)):
            return window.pasted(cut)
    return paste_mask(prob, frame, image_size, threshold)
