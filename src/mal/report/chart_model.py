"""Charts as data, and the places of their parts in a drawing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Role = Literal["first", "second", "third", "quiet"]
"""Which colour of the palette; the drawing knows its value in light and dark."""

Point: TypeAlias = tuple[float, float]

WIDTH, HEIGHT = 440, 264  # of the drawing, in its own pixels
TOP, RIGHT, BOTTOM = 26, 14, 40
CHARACTER = 6.3  # mean width of one at the size of the ticks


@dataclass(frozen=True, slots=True)
class Axis:
    """From ``low`` to ``high``, with texts at some places."""

    low: float
    high: float
    label: str
    ticks: Sequence[tuple[float, str]]


@dataclass(frozen=True, slots=True)
class Bar:
    """A rectangle; ``tip`` tells its numbers, ``strength`` 0..1 is how much of its colour is seen."""

    x0: float
    x1: float
    y0: float
    y1: float
    role: Role
    tip: str = ""
    strength: float = 1.0


@dataclass(frozen=True, slots=True)
class Line:
    """A line through points."""

    points: Sequence[Point]
    role: Role
    is_dashed: bool = False
    has_dots: bool = False
    is_faint: bool = False


Mark: TypeAlias = Bar | Line


@dataclass(frozen=True, slots=True)
class Chart:
    """What is drawn: marks in order, later ones on top.

    Attributes:
        name: of its file.
        title: above it.
        description: what it shows in a sentence; read aloud in its place.
        legend: colours and what they stand for; empty where there is one only.
        height: of the drawing.
        width: of the drawing.
    """

    name: str
    title: str
    description: str
    x: Axis
    y: Axis
    marks: Sequence[Mark]
    legend: Sequence[tuple[Role, str]] = field(default_factory=tuple)
    height: int = HEIGHT
    width: int = WIDTH

    @property
    def left(self) -> float:
        """Where the plot begins, in pixels of the drawing: the texts of the axis stand before it."""
        return 14 + CHARACTER * max((len(text) for _, text in self.y.ticks), default=0)

    @property
    def top(self) -> int:
        """Where the plot ends at the top; the label of the y axis stands above it."""
        return TOP

    @property
    def right(self) -> int:
        """Where the plot ends."""
        return self.width - RIGHT

    @property
    def bottom(self) -> int:
        """Where the x axis lies; its texts stand below it."""
        return self.height - BOTTOM

    def place_x(self, value: float) -> float:
        """A value of the x axis in pixels of the drawing."""
        return self.left + (value - self.x.low) / (self.x.high - self.x.low) * (self.right - self.left)

    def place_y(self, value: float) -> float:
        """A value of the y axis in pixels of the drawing, counted from its top."""
        return self.bottom - (value - self.y.low) / (self.y.high - self.y.low) * (self.bottom - self.top)


def number_axis(label: str, low: float, high: float) -> Axis:
    """An axis from ``low`` to ``high``, or a little beyond, with three to six round ticks."""
    if high <= low:
        high = low + (abs(low) or 1.0)
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * min((1, 2, 2.5, 5, 10), key=lambda factor: abs(factor * power - rough))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    values = [number * step for number in range(first, last + 1)]
    return Axis(values[0], values[-1], label, [(value, number_text(value, step)) for value in values])


def number_text(value: float, step: float) -> str:
    """A tick's value with as many digits as its distance to the next one asks for."""
    if step < 1e-3:
        return "0" if abs(value) < step / 2 else f"{value:.2g}".replace("e-0", "e-")
    digits = len(f"{step:.6f}".rstrip("0").partition(".")[2])
    return f"{value:,.{digits}f}"
