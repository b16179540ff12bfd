"""A crop with masks as outlines over it, as SVG or as a small picture."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from pycocotools import mask as coco_mask

from mal.masks.polygons import find_contours, simplify_ring
from mal.masks.rle import Rle, mask_from_rle, rle_from_mask
from mal.report.contact_sheet import PAPER, QUIET_INK
from mal.report.overlay import Pixels, draw_overlay

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
    gray = Image.fromarray(crop.astype(np.uint8) * 255).resize(size, Image.Resampling.BOX)
    return np.asarray(gray) > 127


def _outline(mask: Rle, window: Window, size: tuple[int, int]) -> str:
    x0, y0, x1, y1 = window
    crop = cropped_mask(mask, window, size)
    is_smaller = size != (x1 - x0, y1 - y0)
    rings = [ring for part in find_contours(crop) for ring in (part.outer, *part.holes)]
    return "".join(_closed(simplify_ring(ring, TOLERANCE if is_smaller else 0)) for ring in rings)


def _closed(ring: npt.NDArray[np.int64]) -> str:
    return "M" + "L".join(f"{x} {y}" for x, y in ring.tolist()) + "Z"


SIDE, CAPTION = 320, 26
Mask = NDArray[np.bool_]


def mask_tile(
    picture: Pixels, predicted: Mask, truth: Mask, box_xyxy: Sequence[float], *, iou: float, caption: str
) -> Pixels:
    """The predicted mask tinted, the true one as a white line, the box framed, the IoU in the corner.

    picture: (H, W, 3) uint8. predicted, truth: (h, w) of the same part of the image, at any scale. box_xyxy: pixels of
    the masks. iou: 0..1. caption: written below. Returns (SIDE + CAPTION, SIDE, 3) uint8, the picture in its middle.
    """
    height, width = predicted.shape
    scale = SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    canvas = np.array(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))
    canvas = draw_overlay(canvas, [rle_from_mask(_resized(predicted, size))], [[side * scale for side in box_xyxy]])
    _draw_outline(canvas, _resized(truth, size))
    tile = Image.new("RGB", (SIDE, SIDE + CAPTION), PAPER)
    corner = (SIDE - size[0]) // 2, (SIDE - size[1]) // 2
    tile.paste(Image.fromarray(canvas), corner)
    pen = ImageDraw.Draw(tile)
    _write_patch(pen, corner, f"{iou:.2f}")
    pen.text((0, SIDE + 5), caption, font=ImageFont.load_default(size=15), fill=QUIET_INK)
    return np.array(tile)


def _resized(mask: Mask, size: tuple[int, int]) -> Mask:
    picture = Image.fromarray(mask.astype(np.uint8) * 255)
    return np.asarray(picture.resize(size, Image.Resampling.BILINEAR)) > 127


def _draw_outline(canvas: Pixels, mask: Mask) -> None:
    """A white line just inside a mask with a dark one around it, which show on any ground; in place."""
    picture = Image.fromarray(mask.astype(np.uint8) * 255)
    inner = np.asarray(picture.filter(ImageFilter.MinFilter(5))) > 0
    outer = np.asarray(picture.filter(ImageFilter.MaxFilter(3))) > 0
    canvas[outer & ~mask] = 0
    canvas[mask & ~inner] = 255


def _write_patch(pen: ImageDraw.ImageDraw, corner: tuple[int, int], text: str) -> None:
    font = ImageFont.load_default(size=18)
    place = corner[0] + 6, corner[1] + 4
    right, bottom = pen.textbbox(place, text, font=font)[2:]
    pen.rectangle((*corner, right + 6, bottom + 5), fill=(0, 0, 0))
    pen.text(place, text, font=font, fill=(255, 255, 255))
