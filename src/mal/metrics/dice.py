"""Dice coefficient of two masks (Sørensen 1948), which says in other numbers what the IoU says."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def dice_of_iou(iou: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Twice the common pixels over the sum of both masks' pixels, 0..1.

    For one pair of masks it follows from the IoU: with c common pixels and u in the union both masks together have
    u + c, so it is 2c / (u + c) = 2 IoU / (1 + IoU). Means of many pairs do not follow from each other.

    Args:
        iou: of each pair, 0..1.
    """
    values = np.asarray(iou, np.float64)
    return 2 * values / (1 + values)
