"""Probabilities of the object in each crop: which network is asked, and how often."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from mal.losses.crf import MeanFieldSettings, refined_mask

NO_NUMBER = "the network gives values that are not numbers for it"
"""Why such a box has failed."""

Network = Literal["student", "teacher", "mixed"]
Profile = Literal["exact", "fast"]
LogitsFunction = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class PredictionMode:
    """How logits become probabilities.

    Attributes:
        network: ``student``, ``teacher``, or ``mixed``: the mean of both networks' logits.
        flip: average with the logits of the mirrored crop.
        crf: refine the result by the colours of the crop; None leaves it.
        profile: ``fast`` computes less for nearly the same masks, see :mod:`mal.models.fast`.
    """

    network: Network = "student"
    flip: bool = False
    crf: MeanFieldSettings | None = None
    profile: Profile = "exact"


def predict_probs(
    student: LogitsFunction,
    teacher: LogitsFunction,
    images: Tensor,
    box_mask: Tensor,
    box_area: Tensor,
    mode: PredictionMode,
) -> Tensor:
    """Foreground probabilities in the pixels of each crop.

    Args:
        student: images and box areas to logits (B, 1, h, w).
        teacher: likewise.
        images: (B, 3, S, S) float, normalised crops.
        box_mask: (B, 1, S, S), 1 inside the box.
        box_area: (B,) float, pixels of the full image.
        mode: how to predict.

    Returns:
        (B, 1, S, S) float32 in 0..1; 0 outside the box. A crop with a logit that is no finite number is NaN throughout,
        so that nothing that follows takes it for an empty mask; see `is_no_number`.
    """
    logits = predict_logits(student, teacher, images, box_area, mode)
    failed = ~logits.isfinite().flatten(1).all(1)[:, None, None, None]
    if mode.crf is None:
        return _resize(logits, images.shape[-2:]).sigmoid().mul_(box_mask).masked_fill_(failed, torch.nan)
    box_mask = box_mask.float()
    size = logits.shape[-2:]
    refined = refined_mask(
        _resize(images.float(), size), logits.sigmoid()[:, 0], _resize(box_mask, size)[:, 0], mode.crf
    )
    return (_resize(refined[:, None], images.shape[-2:]) * box_mask).masked_fill_(failed, torch.nan)


def is_no_number(probs: npt.NDArray[np.float32]) -> bool:
    """Whether the network has failed at a crop, told by its probabilities (S, S) as of :func:`predict_probs`."""
    return bool(np.isnan(probs).any())


def predict_logits(
    student: LogitsFunction, teacher: LogitsFunction, images: Tensor, box_area: Tensor, mode: PredictionMode
) -> Tensor:
    """Mask logits (B, 1, h, w) float32 of crops; arguments as of :func:`predict_probs`."""
    networks = {"student": [student], "teacher": [teacher], "mixed": [student, teacher]}[mode.network]
    return torch.stack([_logits(network, images, box_area, mode.flip).float() for network in networks]).mean(0)


def _logits(network: LogitsFunction, images: Tensor, box_area: Tensor, flip: bool) -> Tensor:
    logits = network(images, box_area)
    if not flip:
        return logits
    mirrored = network(images.flip(-1), box_area).flip(-1)
    return (logits + mirrored) / 2


def _resize(maps: Tensor, size: torch.Size) -> Tensor:
    if maps.shape[-2:] == size:
        return maps
    return F.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=False)
