"""One scene: objects painted over a background, with exact visible masks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from mal.sample.shapes import CATEGORY_NAMES, Shape, random_shape
from mal.sample.textures import Picture, background, random_color, surface

Mask = NDArray[np.bool_]

SUPERSAMPLING = 4
MIN_VISIBLE_SHARE = 0.65
MIN_SIDE = 16  # pixels; a smaller rest of an occluded object is not worth a box


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture and its objects, from back to front.

    image: (H, W, 3) uint8 RGB. masks: one (H, W) bool per object, the pixels where it is the topmost; they are
    disjoint. category_ids: one int per object, from 1, naming `CATEGORY_NAMES[id - 1]`. boxes_xyxy: (N, 4) float64,
    tight around the masks, pixels, right and bottom ends exclusive.
    """

    image: NDArray[np.uint8]
    masks: list[Mask]
    category_ids: list[int]
    boxes_xyxy: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Placed:
    """An object's drawing in a window of the picture: cover is its share of each pixel, (h, w) float32 in 0..1."""

    x0: int
    y0: int
    cover: NDArray[np.float32]

    @property
    def window(self) -> tuple[slice, slice]:
        height, width = self.cover.shape
        return slice(self.y0, self.y0 + height), slice(self.x0, self.x0 + width)


def scene(rng: np.random.Generator, width: int = 256, height: int = 192) -> Scene:
    """Draw a scene of two to six objects, later ones in front of earlier ones.

    An object is placed only where it leaves enough of every earlier one visible (`MIN_VISIBLE_SHARE`). Everything
    random comes from `rng`, so one generator state gives one scene. Sizes follow the picture: at 256x192 most boxes
    have sides of 24 to 140 pixels.
    """
    canvas = background(rng, width, height)
    masks: list[Mask] = []
    full_areas: list[int] = []
    category_ids: list[int] = []
    wanted = int(rng.integers(2, 7))
    for _ in range(4 * wanted):
        if len(masks) == wanted:
            break
        category_id = int(rng.integers(1, len(CATEGORY_NAMES) + 1))
        placed = _place(rng, category_id, width, height)
        mask = np.zeros((height, width), dtype=np.bool_)
        mask[placed.window] = placed.cover >= 0.5
        visible = [*(earlier & ~mask for earlier in masks), mask]
        areas = [*full_areas, int(mask.sum())]
        if not all(_well_visible(rest, area) for rest, area in zip(visible, areas, strict=True)):
            continue
        _paint(rng, canvas, placed)
        masks, full_areas = visible, areas
        category_ids.append(category_id)
    image = np.clip(np.rint(canvas), 0, 255).astype(np.uint8)
    return Scene(image, masks, category_ids, np.array([tight_box(mask) for mask in masks], dtype=np.float64))


def tight_box(mask: Mask) -> tuple[int, int, int, int]:
    """The smallest box x0, y0, x1, y1 (ends exclusive) around a mask of (H, W) bool that is not empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _well_visible(rest: Mask, full_area: int) -> bool:
    if rest.sum() < MIN_VISIBLE_SHARE * full_area:
        return False
    x0, y0, x1, y1 = tight_box(rest)
    return min(x1 - x0, y1 - y0) >= MIN_SIDE


def _place(rng: np.random.Generator, category_id: int, width: int, height: int) -> _Placed:
    """Draw an object of random size at a random place, wholly inside the picture."""
    scale = min(width, height) / 192
    longest_side = float(np.exp(rng.uniform(np.log(32), np.log(140)))) * scale
    cover = _cover(random_shape(rng, category_id, longest_side))
    x0 = int(rng.integers(0, max(1, width - cover.shape[1] + 1)))
    y0 = int(rng.integers(0, max(1, height - cover.shape[0] + 1)))
    return _Placed(x0, y0, cover)


def _cover(shape: Shape) -> NDArray[np.float32]:
    """The share of each pixel that a shape covers, drawn on a finer grid and averaged."""
    columns, rows = (np.ceil(shape.outline.max(axis=0)).astype(int) + 1).tolist()
    fine = Image.new("L", (columns * SUPERSAMPLING, rows * SUPERSAMPLING), 0)
    pen = ImageDraw.Draw(fine)
    pen.polygon(_corners(shape.outline), fill=255)
    for hole in shape.holes:
        pen.polygon(_corners(hole), fill=0)
    return np.asarray(fine.reduce(SUPERSAMPLING), dtype=np.float32) / np.float32(255)


def _corners(points: NDArray[np.float64]) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in np.rint(points * SUPERSAMPLING)]


def _paint(rng: np.random.Generator, canvas: Picture, placed: _Placed) -> None:
    """Blend an object into the canvas, in place, in a color that stands out from what lies behind its contour."""
    if rng.random() < 0.35:
        _cast_shadow(rng, canvas, placed)
    behind = canvas[placed.window]
    rim = behind[(placed.cover > 0) & (placed.cover < 1)]
    height, width = placed.cover.shape
    paint = surface(rng, width, height, _contrasting_color(rng, rim))
    behind += placed.cover[..., None] * (paint - behind)


def _contrasting_color(rng: np.random.Generator, rim: NDArray[np.float32]) -> NDArray[np.float32]:
    """The first of a few random colors that differs from nearly all of the rim's pixels, (N, 3), else the best one."""
    candidates = [random_color(rng) for _ in range(8)]
    contrasts = [float(np.quantile(np.linalg.norm(rim - color, axis=1), 0.15)) for color in candidates]
    for color, contrast in zip(candidates, contrasts, strict=True):
        if contrast > rng.uniform(45, 90):
            return color
    return candidates[int(np.argmax(contrasts))]


def _cast_shadow(rng: np.random.Generator, canvas: Picture, placed: _Placed) -> None:
    """Darken the canvas softly beside an object, in place."""
    height, width = canvas.shape[:2]
    cover = Image.new("L", (width, height), 0)
    dx, dy = (int(step) for step in rng.integers(-4, 5, 2))
    cover.paste(Image.fromarray((placed.cover * 255).astype(np.uint8)), (placed.x0 + dx, placed.y0 + dy))
    soft = cover.filter(ImageFilter.GaussianBlur(float(rng.uniform(2, 5))))
    canvas *= 1 - (np.asarray(soft, dtype=np.float32) / 255 * np.float32(rng.uniform(0.1, 0.35)))[..., None]
