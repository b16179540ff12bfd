"""The three box sizes that the network, its thresholds and the metrics share."""

from __future__ import annotations

from bisect import bisect_left

SIZE_NAMES = ("small", "medium", "large")
BIN_ENDS = (32.0**2, 96.0**2)  # upper bounds of box areas in pixels of the full image, inclusive


def size_bin(box_area: float) -> int:
    """The size bin of a box, an index into :data:`SIZE_NAMES`, by its area in pixels of the full image."""
    return bisect_left(BIN_ENDS, box_area)
