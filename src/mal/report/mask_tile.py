"""One predicted mask against the true one, as a small picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from mal.masks.rle import rle_from_mask
from mal.report.contact_sheet import PAPER, QUIET_INK
from mal.report.overlay import Pixels, draw_overlay

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
