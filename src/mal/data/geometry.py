"""Boxes as numbers: how a crop's frame follows from a box."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

IntBox = tuple[int, int, int, int]
FloatBox = tuple[float, float, float, float]


def expand_box(bbox_xyxy: Sequence[float], margins: Sequence[float]) -> IntBox:
    """The frame of a crop: each side of the box moved outwards, then rounded to whole pixels.

    Args:
        bbox_xyxy: box in pixels of the full image.
        margins: how far the left, top, right and bottom side move, as a part of half the box's extent on that axis.

    Returns:
        x0, y0, x1, y1 in pixels, end exclusive; it may reach outside the image.
    """
    x0, y0, x1, y1 = (np.float32(value) for value in bbox_xyxy)
    centre_x, centre_y = (x0 + x1) / np.float32(2), (y0 + y1) / np.float32(2)
    left, top, right, bottom = (1 + float(margin) for margin in margins)
    return (
        math.floor(float(centre_x) - float(centre_x - x0) * left),
        math.floor(float(centre_y) - float(centre_y - y0) * top),
        math.ceil(float(centre_x) + float(x1 - centre_x) * right + 1),
        math.ceil(float(centre_y) + float(y1 - centre_y) * bottom + 1),
    )


def grown_box(bbox_xyxy: Sequence[float], share: float) -> FloatBox:
    """A box with each side moved outwards by a share of the box's extent on that axis."""
    x0, y0, x1, y1 = bbox_xyxy
    across, down = share * (x1 - x0), share * (y1 - y0)
    return x0 - across, y0 - down, x1 + across, y1 + down


def label_margins(test_margin_rate: Sequence[float]) -> FloatBox:
    """Margins of a crop for labelling: the same on all sides, half the rate each (only the first number counts)."""
    margin = test_margin_rate[0] / 2
    return margin, margin, margin, margin


def random_margins(rng: np.random.Generator, margin_rate: Sequence[float]) -> FloatBox:
    """Margins of a training crop: random, and shared out between opposite sides so that the box is off centre."""
    return margins_from_draws(rng.random(4), rng.random(2), margin_rate)


def margins_from_draws(margin_draws: np.ndarray, gate_draws: np.ndarray, margin_rate: Sequence[float]) -> FloatBox:
    """The rule of :func:`random_margins` for given uniform numbers.

    Args:
        margin_draws: (4,) in 0..1, for left, top, right and bottom.
        gate_draws: (2,) in 0..1, the left side's and the top side's share.
        margin_rate: smallest and largest margin.
    """
    low, high = margin_rate
    left, top, right, bottom = (float(draw) * (high - low) + low for draw in margin_draws)
    gate_x, gate_y = (float(gate) for gate in gate_draws)
    return left * gate_x, top * gate_y, right * (1 - gate_x), bottom * (1 - gate_y)
