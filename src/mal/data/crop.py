"""Cut a square crop around a box, the part outside the image filled from within."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import PIL
from PIL import Image

from mal.data.geometry import IntBox
from mal.ops.fast_modules import fast_module

Border = Literal["wrap", "reflect"]

_PILLOW = int(PIL.__version__.partition(".")[0])


def crop_image(image: np.ndarray, frame: IntBox, size: int, border: Border = "wrap") -> np.ndarray:
    """Cut a frame out of an image and resize it to a square.

    A constant colour outside the image would mislead the colour affinities of the CRF loss, so the outside is filled
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
