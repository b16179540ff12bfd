"""A crop of a picture with several masks of one object as vector outlines over it; the picture is encoded once."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image
from pycocotools import mask as coco_mask

from mal.masks.outlines import trace
from mal.masks.polygons import simplified
from mal.masks.rle import Rle, mask_from_rle
from mal.report.overlay import Pixels

LONGEST_SIDE = 320  # pixels of the page's picture
MARGIN = 0.18  # of the longer side of what is shown, on each side
LEAST_MARGIN = 4.0  # pixels
QUALITY = 75
TOLERANCE = 0.7  # pixels; of outlines in pictures that were made smaller, whose pixel borders mean nothing

Window = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class MaskCrop:
    """A crop and what is drawn over it, all in the crop's pixels.

    Attributes:
        uri: the picture as a data URI.
        width, height: of the crop.
        box: x, y, width, height.
        truth: outline of the true mask, as the `d` of an SVG path; empty of an empty mask.
        masks: likewise of each given mask; None where there is none.
    """

    uri: str
    width: int
    height: int
    box: tuple[float, float, float, float]
    truth: str
    masks: tuple[str | None, ...]


def crop_masks(picture: Pixels, xywh: Sequence[float], truth: Rle, masks: Sequence[Rle | None]) -> MaskCrop:
    """Cut out a box with all its masks and some of what is around them.

    Args:
        picture: (H, W, 3) uint8 RGB.
        xywh: the box in pixels of the picture.
        truth: the true mask, of (H, W).
        masks: those to be judged, likewise.
    """
    x, y, width, height = xywh
    window = crop_window(picture.shape[1], picture.shape[0], xywh, [truth, *(mask for mask in masks if mask)])
    x0, y0 = window[:2]
    jpeg, size, scale = cropped_jpeg(picture, window)
    return MaskCrop(
        uri=f"data:image/jpeg;base64,{jpeg}",
        width=size[0],
        height=size[1],
        box=((x - x0) * scale, (y - y0) * scale, width * scale, height * scale),
        truth=_outline(truth, window, size),
        masks=tuple(_outline(mask, window, size) if mask else None for mask in masks),
    )


def cropped_jpeg(picture: Pixels, window: Window) -> tuple[str, tuple[int, int], float]:
    """A part of a picture as a JPEG in base64, its width and height, and its scale: large ones are made smaller."""
    x0, y0, x1, y1 = window
    scale = min(1.0, LONGEST_SIDE / max(x1 - x0, y1 - y0))
    size = max(1, round((x1 - x0) * scale)), max(1, round((y1 - y0) * scale))
    crop = Image.fromarray(picture[y0:y1, x0:x1])
    buffer = io.BytesIO()
    (crop.resize(size, Image.Resampling.BILINEAR) if scale < 1 else crop).save(buffer, format="JPEG", quality=QUALITY)
    return base64.b64encode(buffer.getvalue()).decode("ascii"), size, scale


def crop_window(width: int, height: int, xywh: Sequence[float], masks: Sequence[Rle]) -> Window:
    """What is shown of an image of width x height pixels: the box, all masks, and some of what is around them."""
    areas = np.array([xywh, *(coco_mask.toBbox(mask) for mask in masks)])
    areas = areas[areas[:, 2:].all(axis=1)]
    x0, y0 = areas[:, :2].min(axis=0).tolist()
    x1, y1 = (areas[:, :2] + areas[:, 2:]).max(axis=0).tolist()
    margin = max(LEAST_MARGIN, MARGIN * max(x1 - x0, y1 - y0))
    left, top = max(0, min(int(x0 - margin), width - 1)), max(0, min(int(y0 - margin), height - 1))
    right, bottom = min(width, int(np.ceil(x1 + margin))), min(height, int(np.ceil(y1 + margin)))
    return left, top, max(left + 1, right), max(top + 1, bottom)


def cropped_mask(mask: Rle, window: Window, size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """A part of a mask, brought to a size of width x height."""
    x0, y0, x1, y1 = window
    crop = mask_from_rle(mask)[y0:y1, x0:x1]
    if size == (x1 - x0, y1 - y0):
        return crop
    grey = Image.fromarray(crop.astype(np.uint8) * 255).resize(size, Image.Resampling.BOX)
    return np.asarray(grey) > 127


def _outline(mask: Rle, window: Window, size: tuple[int, int]) -> str:
    x0, y0, x1, y1 = window
    crop = cropped_mask(mask, window, size)
    is_smaller = size != (x1 - x0, y1 - y0)
    rings = [ring for part in trace(crop) for ring in (part.outer, *part.holes)]
    return "".join(_closed(simplified(ring, TOLERANCE if is_smaller else 0)) for ring in rings)


def _closed(ring: npt.NDArray[np.int64]) -> str:
    return "M" + "L".join(f"{x} {y}" for x, y in ring.tolist()) + "Z"
