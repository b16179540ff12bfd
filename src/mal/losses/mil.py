"""Multiple-instance loss: every row and column that the box covers holds some of the object, the others none."""

from __future__ import annotations

from torch import Tensor

from mal.losses.dice import dice_loss


def mil_loss(prob: Tensor, box_mask: Tensor) -> Tensor:
    """Compare the maxima of each row and of each column of the mask with those of its box.

    Source: MAL (arXiv 2301.03992), section 3.3, multiple-instance learning loss.

    Args:
        prob: (B, H, W) float in 0..1, the student's foreground probabilities.
        box_mask: (B, H, W) float in 0..1, 1 inside the box.

    Returns:
        (B,) float in 0..2: dice loss of the rows plus that of the columns.
    """
    rows = dice_loss(prob.amax(2), box_mask.amax(2))
    columns = dice_loss(prob.amax(1), box_mask.amax(1))
    return rows + columns
