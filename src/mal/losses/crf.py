"""Conditional-random-field loss: the student's mask should be the one that follows the colour edges."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from mal.losses.dice import dice_loss
from mal.ops.mean_field import mean_field


@dataclass(frozen=True, slots=True)
class MeanFieldSettings:
    """Options of :func:`mal.ops.mean_field.mean_field`, named as there."""

    kernel_size: int = 3
    num_iter: int = 100
    zeta: float = 0.1
    low: float = 0.1
    high: float = 0.9


@torch.no_grad()
def refined_mask(image: Tensor, prob: Tensor, box_mask: Tensor, settings: MeanFieldSettings) -> Tensor:
    """The mask that mean-field refinement makes of soft probabilities.

    Args:
        image: (B, 3, H, W) float, normalised colours.
        prob: (B, H, W) float in 0..1.
        box_mask: (B, H, W) float in 0..1.
        settings: how to refine.

    Returns:
        (B, H, W) float, each value 0 or 1.
    """
    soft = mean_field(image, prob, box_mask, **asdict(settings))
    return (soft > 0.5).to(soft.dtype)


def crf_loss(prob: Tensor, refined: Tensor) -> Tensor:
    """Dice loss of the student's probabilities against the refined mask.

    Source: MAL (arXiv 2301.03992), section 3.3.

    Args:
        prob: (B, H, W) float in 0..1, with gradient.
        refined: (B, H, W) float, 0 or 1, from :func:`refined_mask`.

    Returns:
        (B,) float in 0..1.
    """
    return dice_loss(prob, refined)
