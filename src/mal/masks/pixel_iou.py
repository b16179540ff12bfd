"""IoU of two masks that are arrays."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def pixel_iou(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> float:
    """Intersection over union, 0..1, of two arrays of one shape; 1 where both are empty: they are the same mask."""
    union = int((first | second).sum())
    return int((first & second).sum()) / union if union else 1.0
