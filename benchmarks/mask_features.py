"""What might tell a good mask from a poor one: the parts of the product's score, and those that were left out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from mal.losses import refined_mask
from mal.masks.pixel_iou import pixel_iou
from mal.masks.score import SIDE, Map, color_contrast, edge_agreement, expected_iou
from mal.models.prediction_mode import MeanFieldSettings
from mal.ops.arrays import area_means

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Seen:
    """Input of the features of one box.

    Attributes:
        mask: (S, S) bool, the finished mask in the crop.
        threshold: that the mask comes from.
        prob: (S, S) of the mask; the others are what else was asked, each (S, S) float32 in 0..1.
        box_mask: (S, S) float32.
        pixels: (3, S, S) uint8.
        refined: (S, S) bool, the mask after mean-field refinement of the logits.
        xyxy: the box in pixels of the image.
    """

    mask: Mask
    threshold: float
    prob: Tensor
    of_network: Tensor
    of_mirrored: Tensor
    of_other_network: Tensor
    box_mask: Tensor
    pixels: Tensor
    refined: Mask
    xyxy: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Feature:
    """One of them.

    Attributes:
        says: higher for a better mask.
        passes: through a network that it needs beyond the one that makes the mask.
    """

    says: Callable[[Seen], float]
    passes: int = 0


def downsample(maps: Tensor) -> Map:
    """Maps (..., H, W) at the side that scores are computed at."""
    return area_means(maps.numpy(), SIDE)


def _confidence(seen: Seen) -> float:
    return expected_iou(downsample(torch.from_numpy(seen.mask)), downsample(seen.prob))


def _edges(seen: Seen) -> float:
    return edge_agreement(downsample(seen.prob), downsample(seen.pixels), downsample(seen.box_mask) > 0.999)


def _colors(seen: Seen) -> float:
    return color_contrast(downsample(torch.from_numpy(seen.mask)), downsample(seen.pixels))


def _agreement(first: Tensor, second: Tensor, threshold: float) -> float:
    return pixel_iou((first > threshold).numpy(), (second > threshold).numpy())


def _stability(seen: Seen) -> float:
    """SAM's stability score: the mask with a stricter threshold within the one with a milder, a logit to each side."""
    center = torch.tensor(min(max(seen.threshold, 1e-3), 1 - 1e-3)).logit()
    strict, mild = (center + 1).sigmoid(), (center - 1).sigmoid()
    return float((seen.prob > strict).sum()) / max(float((seen.prob > mild).sum()), 1.0)


def _box_fit(mask: Mask, box_mask: Tensor) -> float:
    """IoU of the mask's bounding box with the given one."""
    filled = np.zeros_like(mask)
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if len(rows):
        filled[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
    return pixel_iou(filled, box_mask.numpy() > 0)


def _mean_prob(seen: Seen) -> float:
    inside = seen.prob[torch.from_numpy(seen.mask)]
    return float(inside.mean()) if len(inside) else 0.0


def _certainty(seen: Seen) -> float:
    """1 less the mean entropy of the box's pixels, in bits."""
    prob = seen.prob[seen.box_mask > 0].clamp(1e-6, 1 - 1e-6)
    return 1 + float((prob * prob.log2() + (1 - prob) * (1 - prob).log2()).mean())


def _outline(mask: Mask) -> Mask:
    """Pixels of a mask with a neighbour that is not."""
    padded = np.pad(mask, 1)
    kept = padded[2:, 1:-1] & padded[:-2, 1:-1] & padded[1:-1, 2:] & padded[1:-1, :-2]
    return mask & ~kept


def _edge_height(seen: Seen) -> float:
    """How steep colours are along the outline, as a share of the box's pixels that are less steep."""
    colors, mask = downsample(seen.pixels), downsample(torch.from_numpy(seen.mask)) > 0.5
    steep = sum(np.abs(step).sum(axis=0) for step in np.gradient(colors, axis=(1, 2)))
    box, outline = np.sort(steep[downsample(seen.box_mask) > 0]), _outline(mask)
    return float(np.searchsorted(box, steep[outline]).mean()) / len(box) if outline.any() else 0.0


def _compactness(seen: Seen) -> float:
    return float(seen.mask.sum()) / max(int(_outline(seen.mask).sum()), 1) ** 2


def _box_size(seen: Seen) -> float:
    x0, y0, x1, y1 = seen.xyxy
    return -(x1 - x0) * (y1 - y0)


FEATURES: Mapping[str, Feature] = {
    "confidence": Feature(_confidence),
    "edges": Feature(_edges),
    "colours": Feature(_colors),
    "mean probability": Feature(_mean_prob),
    "entropy": Feature(_certainty),
    "stability": Feature(_stability),
    "box fit": Feature(lambda seen: _box_fit(seen.mask, seen.box_mask)),
    "box fit of the sure": Feature(lambda seen: _box_fit((seen.prob > 0.8).numpy(), seen.box_mask)),
    "share of the box": Feature(lambda seen: float(seen.mask.sum()) / float(seen.box_mask.sum())),
    "smallness of the box": Feature(_box_size),
    "compactness": Feature(_compactness),
    "edge height": Feature(_edge_height),
    "random field": Feature(lambda seen: pixel_iou(seen.mask, seen.refined)),
    "flip": Feature(lambda seen: _agreement(seen.of_network, seen.of_mirrored, seen.threshold), 1),
    "other network": Feature(lambda seen: _agreement(seen.prob, seen.of_other_network, seen.threshold), 1),
}
PRODUCT = ("confidence", "edges", "colours")


def hear(seen: Seen, seconds: dict[str, float]) -> list[float]:
    """Compute all features; adds the time each takes to ``seconds``."""
    said = []
    for name, feature in FEATURES.items():
        start = time.perf_counter()
        said.append(feature.says(seen))
        seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - start
    return said


def refined_masks(
    images: Tensor, logits: Tensor, box_mask: Tensor, settings: MeanFieldSettings
) -> npt.NDArray[np.bool_]:
    """Masks (B, S, S) that the random field makes of logits (B, 1, h, w); images are normalised."""
    size = logits.shape[-2:]
    images, boxes = (F.interpolate(maps, size, mode="bilinear") for maps in (images, box_mask.float()))
    refined = refined_mask(images, logits.sigmoid()[:, 0], boxes[:, 0], settings)
    grown: Tensor = F.interpolate(refined[:, None], box_mask.shape[-2:], mode="bilinear") * box_mask > 0.5
    masks: npt.NDArray[np.bool_] = grown[:, 0].numpy()
    return masks
