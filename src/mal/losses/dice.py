"""Dice loss of flattened maps."""

from __future__ import annotations

from torch import Tensor

SMOOTHING = 1e-3


def dice_loss(prob: Tensor, target: Tensor) -> Tensor:
    """One minus the squared-denominator dice coefficient of each sample.

    Args:
        prob: (B, ...) float in 0..1.
        target: same shape, 0..1.

    Returns:
        (B,) float in 0..1.
    """
    prob, target = prob.flatten(1), target.flatten(1)
    overlap = (prob * target).sum(1)
    return 1 - 2 * overlap / (prob.square().sum(1) + SMOOTHING + target.square().sum(1) + SMOOTHING)
