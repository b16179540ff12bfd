"""The box as an input of the network: jittered or left out in training, so that masks do not just repeat it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mal.data.crops import FloatBox, IntBox, crop_box_mask

OUTSIDE, INSIDE, UNKNOWN = 0, 1, 2  # values of the mask


@dataclass(frozen=True, slots=True)
class BoxInput:
    """How training changes the box that the network sees.

    Attributes:
        jitter: largest move of a side, as a share of the box's extent on that axis.
        dropout: share of the samples without a box.
    """

    jitter: float
    dropout: float


def random_box_input(
    rng: np.random.Generator,
    bbox_xyxy: Sequence[float],
    frame: IntBox,
    image_size: tuple[int, int],
    size: int,
    changes: BoxInput,
) -> npt.NDArray[np.uint8]:
    """The box of a training crop as the network sees it.

    Args:
        rng: random numbers; as many are drawn for every box.
        bbox_xyxy: box in pixels of the full image.
        frame: the crop's frame.
        image_size: width and height of the full image.
        size: side of the crop in pixels.
        changes: see there.

    Returns:
        (size, size) uint8: 1 inside the jittered box, 0 outside; 2 throughout where there is none.
    """
    jittered = jittered_box(bbox_xyxy, changes.jitter * rng.uniform(-1, 1, 4))
    if rng.random() < changes.dropout:
        return np.full((size, size), UNKNOWN, np.uint8)
    return crop_box_mask(jittered, frame, image_size, size)


def jittered_box(bbox_xyxy: Sequence[float], moves: Sequence[float] | npt.NDArray[np.float64]) -> FloatBox:
    """A box whose sides left, top, right and bottom move outwards by shares of the box's extent on their axis."""
    x0, y0, x1, y1 = bbox_xyxy
    width, height = x1 - x0, y1 - y0
    left, top, right, bottom = (float(move) for move in moves)
    return x0 - left * width, y0 - top * height, x1 + right * width, y1 + bottom * height
