"""Draw masks, boxes and labels over an image."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from pycocotools import mask as coco_mask

from mal.masks.rle import Rle, mask_from_rle, rle_area

Pixels = NDArray[np.uint8]
Color = tuple[int, int, int]
Patch = tuple[float, float, float, float]
Boxes: TypeAlias = Sequence[Sequence[float]] | NDArray[np.floating[Any]]

FILL = 0.45  # share of an object's colour inside its mask; its outline is opaque
GOLDEN_TURN = 0.61803398875


def draw_overlay(
    image: Pixels,
    masks: Sequence[Rle],
    boxes_xyxy: Boxes,
    labels: Sequence[str] | None = None,
) -> Pixels:
    """A copy of a picture with every object's mask tinted and outlined, its box framed and its label beside it.

    image: (H, W, 3) uint8 RGB. masks: COCO RLEs of (H, W). boxes_xyxy: (N, 4) pixels, right and bottom ends
    exclusive. Masks, boxes and labels belong together by position, which also chooses the colour; masks or boxes may
    be empty to draw only the others. A mask never colours a pixel outside itself, and small objects lie on top of
    large ones. A label that finds no free place at its box is left out. Returns (H, W, 3) uint8.
    """
    pen_width = max(1, round(max(image.shape[:2]) / 320))
    canvas = image.copy()
    colors = object_colors(max(len(masks), len(boxes_xyxy)))
    for index in sorted(range(len(masks)), key=lambda position: -rle_area(masks[position])):
        _tint(canvas, masks[index], colors[index], pen_width)
    if len(boxes_xyxy) == 0:
        return canvas
    drawing = Image.fromarray(canvas)
    pen = ImageDraw.Draw(drawing)
    for box, color in zip(boxes_xyxy, colors, strict=True):
        _draw_frame(pen, box, color, max(1, pen_width // 2))
    if labels is not None:
        _write_labels(pen, drawing.size, boxes_xyxy, colors, labels)
    return np.array(drawing)


def object_colors(count: int) -> list[Color]:
    """Bright colours for objects 0 to count - 1: hues far apart for neighbours, and the same for every count."""
    colors = []
    for index in range(count):
        hue = (0.55 + index * GOLDEN_TURN) % 1.0
        saturation, value = ((0.85, 1.0), (0.6, 1.0), (0.9, 0.8))[index % 3]
        red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
        colors.append((round(red * 255), round(green * 255), round(blue * 255)))
    return colors


def _tint(canvas: Pixels, rle: Rle, color: Color, pen_width: int) -> None:
    """Colour the inside of a mask, in place, towards opaque where its edge is near."""
    x, y, width, height = (int(side) for side in coco_mask.toBbox(rle))
    if width == 0 or height == 0:
        return
    window = slice(y, y + height), slice(x, x + width)
    inside = mask_from_rle(rle)[window]
    strength = inside * (FILL + (1 - FILL) * _edge_nearness(inside, pen_width))
    pixels = canvas[window].astype(np.float32)
    pixels += strength[..., None].astype(np.float32) * (np.array(color, dtype=np.float32) - pixels)
    canvas[window] = np.rint(pixels).astype(np.uint8)


def _edge_nearness(inside: NDArray[np.bool_], pen_width: int) -> NDArray[np.float32]:
    """1 at the mask's edge, falling softly to 0 a pen's width further in."""
    margin = 2 * pen_width + 1
    padded = Image.fromarray(np.pad(inside, margin).astype(np.uint8) * 255)
    blurred = np.asarray(padded.filter(ImageFilter.GaussianBlur(0.8 * pen_width)), dtype=np.float32) / 255
    depth = blurred[margin:-margin, margin:-margin]
    return np.clip((1 - depth) * 3.2, 0, 1)


def _draw_frame(pen: ImageDraw.ImageDraw, box: Sequence[float] | Any, color: Color, pen_width: int) -> None:
    """Frame a box from its edge inward, with a dark line around the frame that shows it on any ground."""
    x0, y0, x1, y1 = (float(side) for side in box)
    right, bottom = max(x0, x1 - 1), max(y0, y1 - 1)  # PIL counts both ends as part of a rectangle
    pen.rectangle((x0 - 1, y0 - 1, right + 1, bottom + 1), outline=(0, 0, 0), width=1)
    pen.rectangle((x0, y0, right, bottom), outline=color, width=pen_width)


def _write_labels(
    pen: ImageDraw.ImageDraw, size: tuple[int, int], boxes: Boxes, colors: Sequence[Color], labels: Sequence[str]
) -> None:
    """Write each label on a patch of its object's colour: above its box, in its corner or below the box."""
    font = ImageFont.load_default(size=max(11, round(max(size) / 75)))
    taken: list[Patch] = []
    for box, color, label in zip(boxes, colors, labels, strict=True):
        left, top, right, bottom = pen.textbbox((0, 0), label, font=font)
        patch = _free_patch(box, right - left + 6, bottom - top + 5, size, taken)
        if patch is None:
            continue
        taken.append(patch)
        pen.rectangle((patch[0], patch[1], patch[2] - 1, patch[3] - 1), fill=color)
        pen.text((patch[0] + 3 - left, patch[1] + 2 - top), label, font=font, fill=_ink_on(color))


def _free_patch(
    box: Sequence[float] | Any, width: float, height: float, size: tuple[int, int], taken: Sequence[Patch]
) -> Patch | None:
    x0, y0, _, y1 = (float(side) for side in box)
    x = min(max(0.0, x0), max(0.0, size[0] - width))
    for y in (y0 - height, y0, y1):
        patch = (x, y, x + width, y + height)
        if 0 <= y <= size[1] - height and not any(_overlap(patch, other) for other in taken):
            return patch
    return None


def _overlap(a: Patch, b: Patch) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _ink_on(color: Color) -> Color:
    red, green, blue = color
    return (0, 0, 0) if 0.3 * red + 0.59 * green + 0.11 * blue > 120 else (255, 255, 255)
