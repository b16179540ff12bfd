"""Changes of an image's colours: by Pillow, or the same numbers several times faster where numba is there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Literal

import numpy as np
from PIL import Image, ImageFilter
from torchvision.transforms.v2 import functional as F

from mal.ops.fast_modules import fast_module

Kind = Literal["brightness", "contrast", "saturation", "hue", "greyscale", "blur"]
Change = tuple[Kind, float]

BLUR_PASSES = 3  # of Pillow's: box filters that add up to nearly a Gaussian


def apply_changes(image: np.ndarray, changes: Sequence[Change]) -> np.ndarray:
    """Make some changes in turn.

    Args:
        image: (3, H, W) uint8.
        changes: each a kind with its amount. Of brightness, contrast and saturation it is a factor, of hue a part of
            the circle in -0.5..0.5, of blur a radius up to 2 pixels; greyscale has none.

    Returns:
        (3, H, W) uint8, another array.
    """
    fast = fast_module("colours_numba")
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
            mean_grey = int(fast.sum_of_grey(image) / image[0].size + 0.5)
            fast.look_up(image, _blend_table(mean_grey, amount))
        elif kind == "saturation":
            fast.saturate(image, np.float32(amount))
        elif kind == "hue":
            fast.shift_hue(image, float(int(amount * 255) % 256))
        elif kind == "greyscale":
            fast.to_grey(image)
        else:
            fast.blur(image, *_blur_weights(amount), BLUR_PASSES)
    return image


def _blend_table(grey: int, factor: float) -> np.ndarray:
    """For each byte the one that lies ``factor`` times as far from ``grey``, (256,) uint8."""
    mixed = np.float32(grey) + np.float32(factor) * np.arange(-grey, 256 - grey, dtype=np.float32)
    return mixed.clip(0, 255).astype(np.uint8)


def _blur_weights(radius: float) -> tuple[np.uint32, np.uint32, np.uint32]:
    """Weights of a box filter in 24 fractional bits: of a pixel, its neighbours and theirs.

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
