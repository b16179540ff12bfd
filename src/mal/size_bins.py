"""The three box sizes that the network, its thresholds and the metrics share."""

from __future__ import annotations

from bisect import bisect_left

SIZE_NAMES = ("small", "medium", "large")
BIN_ENDS = (32.0**2, 96.0**2)  # box areas in pixels of the full image; an end belongs to the lower bin


def size_bin(box_area: float) -> int:
    """Number of a box's size in :data:`SIZE_NAMES`, by its area in pixels of the full image."""
    return bisect_left(BIN_ENDS, box_area)
