"""Random shapes of the sample's classes, as polygons."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Shape:
    """A closed outline and the holes cut out of it; points are (N, 2) float64, x before y, in any unit."""

    outline: Points
    holes: tuple[Points, ...] = ()

    def transformed(self, matrix: Points) -> Shape:
        """The shape with every point multiplied by a (2, 2) matrix."""
        return Shape(self.outline @ matrix.T, tuple(hole @ matrix.T for hole in self.holes))

    def fitted(self, longest_side: float) -> Shape:
        """The shape moved and scaled: its bounding box starts at (0, 0) and has this longer side."""
        low = self.outline.min(axis=0)
        scale = longest_side / float(np.ptp(self.outline, axis=0).max())
        return Shape((self.outline - low) * scale, tuple((hole - low) * scale for hole in self.holes))


def star(rng: np.random.Generator) -> Shape:
    """A star of four to seven tips."""
    tips = int(rng.integers(4, 8))
    radius = np.tile([1.0, rng.uniform(0.45, 0.65)], tips)
    return Shape(_polar(radius, _turn(2 * tips)))


def ring(rng: np.random.Generator) -> Shape:
    """A disc with a round hole."""
    hole = rng.uniform(0.42, 0.62)
    circle = _arc(0.0, 2 * np.pi, 64)
    return Shape(circle, (circle * hole,))


def triangle(rng: np.random.Generator) -> Shape:
    """Three corners at uneven angles."""
    angles = _turn(3) + rng.uniform(-0.25, 0.25, 3)
    return Shape(_polar(np.ones(3), angles))


def crescent(rng: np.random.Generator) -> Shape:
    """A disc with a bite taken by a second circle, which meets it at the crescent's two tips."""
    tip = rng.uniform(0.8, 1.25)
    tip_x, tip_y = np.cos(tip), np.sin(tip)
    bite_radius = tip_y * rng.uniform(1.0, 1.2)
    bite_x = tip_x + np.sqrt(bite_radius**2 - tip_y**2)
    half_angle = np.arctan2(tip_y, tip_x - bite_x)
    outer = _arc(tip, 2 * np.pi - tip, 48)
    inner = _arc(-half_angle, -2 * np.pi + half_angle, 32) * bite_radius + [bite_x, 0.0]
    return Shape(np.concatenate([outer, inner]))


def plus(rng: np.random.Generator) -> Shape:
    """A cross of two bars of their own widths."""
    a, b = rng.uniform(0.28, 0.42, 2)
    x = [-a, a, a, 1, 1, a, a, -a, -a, -1, -1, -a]
    y = [-1, -1, -b, -b, b, b, 1, 1, b, b, -b, -b]
    return Shape(np.array([x, y], dtype=np.float64).T)


def arrow(rng: np.random.Generator) -> Shape:
    """A shaft with a head, sometimes barbed."""
    neck, shaft, head = rng.uniform(-0.1, 0.3), rng.uniform(0.25, 0.4), rng.uniform(0.65, 0.85)
    x = [-1, neck, neck, 1, neck, neck, -1]
    y = [-shaft, -shaft, -head, 0, head, shaft, shaft]
    return Shape(np.array([x, y], dtype=np.float64).T)


def blob(rng: np.random.Generator) -> Shape:
    """A smooth outline of no particular form."""
    angles = _turn(72)
    radius = np.ones_like(angles)
    for harmonic, strength in ((2, 0.24), (3, 0.2), (4, 0.1), (5, 0.07)):
        radius += rng.uniform(0.4, 1.0) * strength * np.cos(harmonic * angles + rng.uniform(0, 2 * np.pi))
    return Shape(_polar(radius, angles))


def leaf(rng: np.random.Generator) -> Shape:
    """A pointed oval with a bend."""
    width, bend, point = rng.uniform(0.4, 0.6), rng.uniform(-0.3, 0.3), rng.uniform(0.9, 1.4)
    t = np.linspace(0.0, 1.0, 32)
    half = width * np.sin(np.pi * t**point)
    spine = bend * np.sin(np.pi * t)
    upper = np.stack([2 * t - 1, spine + half], axis=1)
    lower = np.stack([2 * t - 1, spine - half], axis=1)[-2:0:-1]
    return Shape(np.concatenate([upper, lower]))


CLASSES: dict[str, Callable[[np.random.Generator], Shape]] = {
    "star": star,
    "ring": ring,
    "triangle": triangle,
    "crescent": crescent,
    "plus": plus,
    "arrow": arrow,
    "blob": blob,
    "leaf": leaf,
}
CATEGORY_NAMES: tuple[str, ...] = tuple(CLASSES)  # category id i is CATEGORY_NAMES[i - 1]


def random_shape(rng: np.random.Generator, category_id: int, longest_side: float) -> Shape:
    """A shape of a class, of random proportions and rotation, fitted to `longest_side` pixels."""
    shape = CLASSES[CATEGORY_NAMES[category_id - 1]](rng)
    stretch = np.exp(rng.uniform(-0.25, 0.25))
    angle = rng.uniform(0, 2 * np.pi)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return shape.transformed(rotation @ np.diag([stretch, 1 / stretch])).fitted(longest_side)


def _turn(count: int) -> Points:
    return np.linspace(0.0, 2 * np.pi, count, endpoint=False)


def _polar(radius: Points, angles: Points) -> Points:
    return np.stack([radius * np.cos(angles), radius * np.sin(angles)], axis=1)


def _arc(start: float, stop: float, count: int) -> Points:
    return _polar(np.ones(count), np.linspace(start, stop, count))
