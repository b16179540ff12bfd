"""Color augmentation of the student's view, by Pillow or by numba with the same result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Literal

import numpy as np
from PIL import Image, ImageFilter
from torchvision.transforms.v2 import functional as F

from mal.ops.compiled import fast_module

Kind = Literal["brightness", "contrast", "saturation", "hue", "greyscale", "blur"]
Change = tuple[Kind, float]

BLUR_PASSES = 3  # of Pillow's: box filters that add up to nearly a Gaussian


def apply_changes(image: np.ndarray, changes: Sequence[Change]) -> np.ndarray:
    """Apply color changes in order.

    Args:
        image: (3, H, W) uint8.
        changes: each a kind with its amount. Of brightness, contrast and saturation it is a factor, of hue a part of
            the circle in -0.5..0.5, of blur a radius up to 2 pixels; grayscale has none.

    Returns:
        (3, H, W) uint8, another array.
    """
    fast = fast_module("colors_numba")
    return changed_by_pillow(image, changes) if fast is None else _changed_by_numba(fast, image, changes)


def changed_by_pillow(image: np.ndarray, changes: Sequence[Change]) -> np.ndarray:
    """The reference of :func:`apply_changes`; arguments and result as there."""
    picture = Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0)))
    for kind, amount in changes:
        picture = _PILLOW[kind](picture, amount)
    return np.array(np.asarray(picture).transpose(2, 0, 1), order="C")


_PILLOW: dict[Kind, Callable[[Image.Image, float], Image.Image]] = {
    "brightness": F.adjust_brightness,
    "contrast": F.adjust_contrast,
    "saturation": F.adjust_saturation,
    "hue": F.adjust_hue,
    "greyscale": lambda picture, _: F.rgb_to_grayscale(picture, num_output_channels=3),
    "blur": lambda picture, radius: picture.filter(ImageFilter.GaussianBlur(radius)),
}


def _changed_by_numba(fast: ModuleType, image: np.ndarray, changes: Sequence[Change]) -> np.ndarray:
    image = np.array(image, order="C")
    for kind, amount in changes:
        if kind == "brightness":
            fast.look_up(image, _blend_table(0, amount))
        elif kind == "contrast":
            mean_gray = int(fast.sum_of_gray(image) / image[0].size + 0.5)
            fast.look_up(image, _blend_table(mean_gray, amount))
        elif kind == "saturation":
            fast.saturate(image, np.float32(amount))
        elif kind == "hue":
            fast.shift_hue(image, float(int(amount * 255) % 256))
        elif kind == "greyscale":
            fast.to_gray(image)
        else:
            fast.blur(image, *_blur_weights(amount), BLUR_PASSES)
    return image


def _blend_table(gray: int, factor: float) -> np.ndarray:
    """Look-up table, (256,) uint8, that scales the distance of each byte from ``gray`` by ``factor``."""
    mixed = np.float32(gray) + np.float32(factor) * np.arange(-gray, 256 - gray, dtype=np.float32)
    return mixed.clip(0, 255).astype(np.uint8)


def _blur_weights(radius: float) -> tuple[np.uint32, np.uint32, np.uint32]:
    """Weights of a box filter in 24 fractional bits: of a pixel, its neighbors and theirs.

    Source: Gwosdek et al., Theoretical foundations of Gaussian convolution by extended box filtering (SSVM 2011), in
    Pillow's single precision.
    """
    variance = np.float32(radius) * np.float32(radius) / np.float32(BLUR_PASSES)
    length = np.float32(np.sqrt(12.0 * float(variance) + 1.0))
    whole = np.float32(np.floor((float(length) - 1.0) / 2.0))
    assert whole <= 1, f"a blur of radius {radius} reaches further than two pixels"
    part = (2 * whole + 1) * (whole * (whole + 1) - 3 * variance) / (6 * (variance - (whole + 1) * (whole + 1)))
    inside = int(np.float32(1 << 24) / ((whole + part) * 2 + 1))
    edge = ((1 << 24) - (2 * int(whole) + 1) * inside) // 2
    middle, far = (inside, edge) if whole else (edge, 0)
    return np.uint32(inside), np.uint32(middle), np.uint32(far)


BRIGHTNESS, CONTRAST, SATURATION, HUE = 0.4, 0.4, 0.2, 0.1
JITTER_PROBABILITY, GRAYSCALE_PROBABILITY, BLUR_PROBABILITY = 0.5, 0.2, 0.5
BLUR_RADIUS = (0.1, 2.0)  # Pillow's, in pixels of the crop


def change_colors(crop: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Color jitter, grayscale and blur, each with its probability.

    Source: MAL (arXiv 2301.03992), section 4.1.

    Args:
        crop: (3, H, W) uint8.
        rng: source of all random numbers, so that a sample is reproducible.

    Returns:
        (3, H, W) uint8, another array.
    """
    return apply_changes(crop, _draw_changes(rng))


def _draw_changes(rng: np.random.Generator) -> list[Change]:
    changes: list[Change] = []
    if rng.random() < JITTER_PROBABILITY:
        changes += _draw_jitter(rng)
    if rng.random() < GRAYSCALE_PROBABILITY:
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
