"""Colour changes that only the student sees."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter
from torchvision.transforms.v2 import functional as F

BRIGHTNESS, CONTRAST, SATURATION, HUE = 0.4, 0.4, 0.2, 0.1
JITTER_PROBABILITY, GREYSCALE_PROBABILITY, BLUR_PROBABILITY = 0.5, 0.2, 0.5
BLUR_RADIUS = (0.1, 2.0)  # Pillow's, in pixels of the crop

Change = Callable[[Image.Image], Image.Image]


def change_colours(crop: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Colour jitter, greyscale and blur, each with its probability.

    Source: MAL (arXiv 2301.03992), section 4.1.

    Args:
        crop: (H, W, 3) uint8.
        rng: every random number comes from here, so that a sample can be made again.

    Returns:
        (H, W, 3) uint8.
    """
    image = Image.fromarray(crop)
    for change in _draw_changes(rng):
        image = change(image)
    return np.asarray(image)


def _draw_changes(rng: np.random.Generator) -> list[Change]:
    changes: list[Change] = []
    if rng.random() < JITTER_PROBABILITY:
        changes += _draw_jitter(rng)
    if rng.random() < GREYSCALE_PROBABILITY:
        changes.append(lambda image: F.rgb_to_grayscale(image, num_output_channels=3))
    if rng.random() < BLUR_PROBABILITY:
        radius = rng.uniform(*BLUR_RADIUS)
        changes.append(lambda image: image.filter(ImageFilter.GaussianBlur(radius)))
    return changes


def _draw_jitter(rng: np.random.Generator) -> list[Change]:
    brightness = rng.uniform(1 - BRIGHTNESS, 1 + BRIGHTNESS)
    contrast = rng.uniform(1 - CONTRAST, 1 + CONTRAST)
    saturation = rng.uniform(1 - SATURATION, 1 + SATURATION)
    hue = rng.uniform(-HUE, HUE)
    jitter: list[Change] = [
        lambda image: F.adjust_brightness(image, brightness),
        lambda image: F.adjust_contrast(image, contrast),
        lambda image: F.adjust_saturation(image, saturation),
        lambda image: F.adjust_hue(image, hue),
    ]
    return [jitter[index] for index in rng.permutation(len(jitter))]
