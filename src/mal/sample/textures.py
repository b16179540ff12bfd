"""Random textures for backgrounds and objects."""

from __future__ import annotations

import colorsys

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Picture = NDArray[np.float32]


def background(rng: np.random.Generator, width: int, height: int) -> Picture:
    """A picture of (height, width, 3) float32, levels of 0..255: two or three blended shades, stripes and grain."""
    canvas = _blend(rng, width, height)
    if rng.random() < 0.4:
        canvas = _split(rng, canvas, _blend(rng, width, height))
    canvas += smooth_noise(rng, width, height, cell=int(rng.integers(14, 48)))[..., None] * rng.uniform(3, 12)
    if rng.random() < 0.5:
        canvas += stripes(rng, width, height)[..., None] * rng.uniform(2, 8)
    return canvas + _speckle(rng, canvas.shape)


def surface(rng: np.random.Generator, width: int, height: int, color: NDArray[np.float32]) -> Picture:
    """The paint of one object, (height, width, 3) float32: its color, lit from one side, with mild texture."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    along = (x / width - 0.5) * np.cos(angle) + (y / height - 0.5) * np.sin(angle)
    light = 1 + rng.uniform(0.05, 0.35) * along
    light += rng.uniform(0.0, 0.05) * smooth_noise(rng, width, height, cell=int(rng.integers(10, 30)))
    if rng.random() < 0.3:
        light += rng.uniform(0.015, 0.04) * stripes(rng, width, height)
    paint = color * light[..., None].astype(np.float32)
    return paint + _speckle(rng, paint.shape)


def random_color(rng: np.random.Generator, *, max_saturation: float = 0.95) -> NDArray[np.float32]:
    """One color, (3,) float32, levels of 0..255, neither black nor burnt out."""
    hue, saturation, value = rng.random(), rng.uniform(0.1, max_saturation), rng.uniform(0.25, 0.95)
    return np.array(colorsys.hsv_to_rgb(hue, saturation, value), dtype=np.float32) * 255


def smooth_noise(rng: np.random.Generator, width: int, height: int, *, cell: int) -> Picture:
    """Noise of (height, width) float32, about unit variance, that changes over about `cell` pixels."""
    grid = rng.standard_normal((height // cell + 2, width // cell + 2)).astype(np.float32)
    return _enlarge(grid, width, height)


def stripes(rng: np.random.Generator, width: int, height: int) -> Picture:
    """A soft sine wave of (height, width) float32 in -1..1, in a random direction, 12 to 40 pixels long."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    angle, phase = rng.uniform(0, 2 * np.pi, 2)
    period = rng.uniform(12, 40)
    return np.sin((x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / period + phase).astype(np.float32)


def _blend(rng: np.random.Generator, width: int, height: int) -> Picture:
    """A base color that drifts a little towards others over the picture."""
    base = random_color(rng, max_saturation=0.6)
    drift = rng.uniform(0.1, 0.4)
    grid = np.stack([base * (1 - drift) + random_color(rng, max_saturation=0.6) * drift for _ in range(6)])
    channels = grid.reshape(2, 3, 3).transpose(2, 0, 1)
    return np.stack([_enlarge(channel, width, height) for channel in channels], axis=2)


def _split(rng: np.random.Generator, first: Picture, second: Picture) -> Picture:
    """Two grounds that meet at a horizon: an edge of color that belongs to no object."""
    height, width = first.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    horizon = height * rng.uniform(0.25, 0.75) + (x - width / 2) * rng.uniform(-0.3, 0.3)
    share = np.clip((y - horizon) / rng.uniform(1, 12) + 0.5, 0, 1)[..., None]
    return first * (1 - share) + second * share


def _speckle(rng: np.random.Generator, shape: tuple[int, ...]) -> Picture:
    return rng.standard_normal(shape, dtype=np.float32) * np.float32(rng.uniform(0.3, 1.8))


def _enlarge(grid: NDArray[np.float32], width: int, height: int) -> Picture:
    return np.array(Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC))
