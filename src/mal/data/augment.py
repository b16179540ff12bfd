"""Colour changes that only the student sees: which ones, and how strong."""

from __future__ import annotations

import numpy as np

from mal.data.colour_changes import Change, apply_changes

BRIGHTNESS, CONTRAST, SATURATION, HUE = 0.4, 0.4, 0.2, 0.1
JITTER_PROBABILITY, GREYSCALE_PROBABILITY, BLUR_PROBABILITY = 0.5, 0.2, 0.5
BLUR_RADIUS = (0.1, 2.0)  # Pillow's, in pixels of the crop


def change_colours(crop: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Colour jitter, greyscale and blur, each with its probability.

    Source: MAL (arXiv 2301.03992), section 4.1.

    Args:
        crop: (3, H, W) uint8.
        rng: every random number comes from here, so that a sample can be made again.

    Returns:
        (3, H, W) uint8, another array.
    """
    return apply_changes(crop, _draw_changes(rng))


def _draw_changes(rng: np.random.Generator) -> list[Change]:
    changes: list[Change] = []
    if rng.random() < JITTER_PROBABILITY:
        changes += _draw_jitter(rng)
    if rng.random() < GREYSCALE_PROBABILITY:
        changes.append(("greyscale", 1.0))
    if rng.random() < BLUR_PROBABILITY:
        changes.append(("blur", rng.uniform(*BLUR_RADIUS)))
    return changes


def _draw_jitter(rng: np.random.Generator) -> list[Change]:
    jitter: list[Change] = [
        ("brightness", rng.uniform(1 - BRIGHTNESS, 1 + BRIGHTNESS)),
        ("contrast", rng.uniform(1 - CONTRAST, 1 + CONTRAST)),
        ("saturation", rng.uniform(1 - SATURATION, 1 + SATURATION)),
        ("hue", rng.uniform(-HUE, HUE)),
    ]
    return [jitter[index] for index in rng.permutation(len(jitter))]
