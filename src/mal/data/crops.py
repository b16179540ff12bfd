"""Cut a square crop around a box, and normalize its pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import PIL
from PIL import Image

from mal.ops.compiled import fast_module

IntBox = tuple[int, int, int, int]
FloatBox = tuple[float, float, float, float]


def crop_frame(bbox_xyxy: Sequence[float], margins: Sequence[float]) -> IntBox:
    """The frame of a crop: each side of the box moved outwards, then rounded to whole pixels.

    Args:
        bbox_xyxy: box in pixels of the full image.
        margins: how far the left, top, right and bottom side move, as a part of half the box's extent on that axis.

    Returns:
        x0, y0, x1, y1 in pixels, end exclusive; it may reach outside the image.
    """
    x0, y0, x1, y1 = (np.float32(value) for value in bbox_xyxy)
    center_x, center_y = (x0 + x1) / np.float32(2), (y0 + y1) / np.float32(2)
    left, top, right, bottom = (1 + float(margin) for margin in margins)
    return (
        math.floor(float(center_x) - float(center_x - x0) * left),
        math.floor(float(center_y) - float(center_y - y0) * top),
        math.ceil(float(center_x) + float(x1 - center_x) * right + 1),
        math.ceil(float(center_y) + float(y1 - center_y) * bottom + 1),
    )


def expand_box(bbox_xyxy: Sequence[float], share: float) -> FloatBox:
    """A box with each side moved outwards by a share of the box's extent on that axis."""
    x0, y0, x1, y1 = bbox_xyxy
    across, down = share * (x1 - x0), share * (y1 - y0)
    return x0 - across, y0 - down, x1 + across, y1 + down


def label_margins(test_margin_rate: Sequence[float]) -> FloatBox:
    """Margins of a crop for labeling: the same on all sides, half the rate each (only the first number counts)."""
    margin = test_margin_rate[0] / 2
    return margin, margin, margin, margin


def random_margins(rng: np.random.Generator, margin_rate: Sequence[float]) -> FloatBox:
    """Random margins of a training crop, split unevenly between opposite sides so that the box is off center."""
    return margins_from_draws(rng.random(4), rng.random(2), margin_rate)


def margins_from_draws(margin_draws: np.ndarray, gate_draws: np.ndarray, margin_rate: Sequence[float]) -> FloatBox:
    """Compute the margins of :func:`random_margins` from given uniform numbers.

    Args:
        margin_draws: (4,) in 0..1, for left, top, right and bottom.
        gate_draws: (2,) in 0..1, the left side's and the top side's share.
        margin_rate: smallest and largest margin.
    """
    low, high = margin_rate
    left, top, right, bottom = (float(draw) * (high - low) + low for draw in margin_draws)
    gate_x, gate_y = (float(gate) for gate in gate_draws)
    return left * gate_x, top * gate_y, right * (1 - gate_x), bottom * (1 - gate_y)


Border = Literal["wrap", "reflect"]

_PILLOW = int(PIL.__version__.partition(".")[0])


def crop_image(image: np.ndarray, frame: IntBox, size: int, border: Border = "wrap") -> np.ndarray:
    """Cut a frame out of an image and resize it to a square.

    A constant color outside the image would mislead the color affinities of the CRF loss, so the outside is filled
    with pixels of the image: from the opposite side (``wrap``, what public checkpoints saw) or mirrored (``reflect``).

    Args:
        image: (H, W) or (H, W, 3) uint8.
        frame: x0, y0, x1, y1 in pixels, end exclusive, may reach outside.
        size: side of the crop in pixels.
        border: what lies outside the image.

    Returns:
        (size, size) or (size, size, 3) uint8, bicubic with antialiasing as Pillow does it; aspect is not kept.
    """
    window = _window(image, frame, border)
    return np.asarray(Image.fromarray(window).resize((size, size), Image.Resampling.BICUBIC))


def crop_planes(
    image: np.ndarray, frame: IntBox, size: int, border: Border = "wrap", *, mirrored: bool = False
) -> np.ndarray:
    """As :func:`crop_image`, in the network's layout; the same numbers, several times faster where numba is there.

    Args:
        image: (H, W, 3) uint8.
        frame: x0, y0, x1, y1 in pixels, end exclusive, may reach outside.
        size: side of the crop in pixels.
        border: what lies outside the image.
        mirrored: swap left and right of the crop.

    Returns:
        (3, size, size) uint8.
    """
    fast = fast_module("crop_numba")
    if fast is None:
        crop = crop_image(image, frame, size, border)
        return np.ascontiguousarray((crop[:, ::-1] if mirrored else crop).transpose(2, 0, 1))
    x0, y0, x1, y1 = frame
    rows = _border_index(np.arange(y0, y1), image.shape[0], border)
    columns = _border_index(np.arange(x0, x1), image.shape[1], border)
    planes = np.empty((3, size, size), np.uint8)
    fast.crop_and_resize(image, rows, columns, planes, mirrored, _height_first(len(columns), len(rows), size))
    return planes


def _height_first(width: int, height: int, size: int) -> bool:
    """Whether the installed Pillow resizes a window's height before its width, which changes some bytes by a little.

    Earlier than version 13 it never does; from then on where that is less work.
    """
    return _PILLOW >= 13 and height > max(size, 2 * width - size)


def crop_box_mask(bbox_xyxy: Sequence[float], frame: IntBox, image_size: tuple[int, int], size: int) -> np.ndarray:
    """The box as a mask in the crop's pixels: 1 inside it, both end pixels included, 0 outside the image.

    Args:
        bbox_xyxy: box in pixels of the full image.
        frame: the crop's frame.
        image_size: width and height of the full image.
        size: side of the crop in pixels.

    Returns:
        (size, size) uint8, 0 or 1: what resizing the full mask with the image's filter gives.
    """
    x0, y0, x1, y1 = bbox_xyxy
    columns = _axis_profile(int(x0), int(x1), frame[0], frame[2], image_size[0], size)
    rows = _axis_profile(int(y0), int(y1), frame[1], frame[3], image_size[1], size)
    return np.outer(rows, columns)


def _axis_profile(first: int, last: int, start: int, stop: int, limit: int, size: int) -> np.ndarray:
    """One axis of a box mask. A rectangle resized is the product of its resized axes, rounded after each."""
    coordinates = np.arange(start, stop)
    inside = (coordinates >= max(first, 0)) & (coordinates <= min(last, limit - 1))
    profile = Image.fromarray(inside.astype(np.uint8)[None])
    return np.asarray(profile.resize((size, 1), Image.Resampling.BICUBIC))[0]


def _window(image: np.ndarray, frame: IntBox, border: Border) -> np.ndarray:
    height, width = image.shape[:2]
    x0, y0, x1, y1 = frame
    if x0 >= 0 and y0 >= 0 and x1 <= width and y1 <= height:
        return np.ascontiguousarray(image[y0:y1, x0:x1])
    rows = _border_index(np.arange(y0, y1), height, border)
    columns = _border_index(np.arange(x0, x1), width, border)
    return image.take(rows, axis=0).take(columns, axis=1)


def _border_index(coordinates: np.ndarray, length: int, border: Border) -> np.ndarray:
    if border == "wrap":
        return coordinates % length
    period = max(1, 2 * (length - 1))
    folded = coordinates % period
    return np.minimum(folded, period - folded) % length


IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def to_planes(crop: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 to (3, H, W) uint8."""
    return np.ascontiguousarray(crop.transpose(2, 0, 1))


def normalize(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """(B, 3, H, W) uint8 to float32, by ImageNet's mean and deviation; bit by bit what `mal.models.inputs` computes."""
    mean, std = (np.array(values, np.float32)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    normal = images / np.float32(255)
    normal -= mean
    normal /= std
    return normal
