"""Charts as data, and drawn as SVG in the page's colors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from mal.report.page import render, text

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
    """

    name: str
    title: str
    description: str
    x: Axis
    y: Axis
    marks: Sequence[Mark]
    legend: Sequence[tuple[Role, str]] = field(default_factory=tuple)
    height: int = HEIGHT

    @property
    def left(self) -> float:
        """Where the plot begins, in pixels of the drawing: the texts of the axis stand before it."""
        return 14 + CHARACTER * max((len(text) for _, text in self.y.ticks), default=0)

    def place_x(self, value: float) -> float:
        """A value of the x axis in pixels of the drawing."""
        return self.left + (value - self.x.low) / (self.x.high - self.x.low) * (WIDTH - RIGHT - self.left)

    def place_y(self, value: float) -> float:
        """A value of the y axis in pixels of the drawing, counted from its top."""
        bottom = self.height - BOTTOM
        return bottom - (value - self.y.low) / (self.y.high - self.y.low) * (bottom - TOP)


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


def chart_figure(chart: Chart) -> str:
    """The chart with its title and legend, as HTML."""
    legend = "".join(f'<li class="{role}">{text(name)}</li>' for role, name in chart.legend)
    return render(
        "chart.html",
        title=text(chart.title),
        legend=f'<ul class="legend">{legend}</ul>' if legend else "",
        description=text(chart.description),
        width=str(WIDTH),
        height=str(chart.height),
        content="\n".join([*_grid(chart), *(_mark(chart, mark) for mark in chart.marks), *_texts(chart)]),
    )


def _grid(chart: Chart) -> list[str]:
    left, right, bottom = chart.left, WIDTH - RIGHT, chart.height - BOTTOM
    lines = [f'<path class="grid" d="M{left:.1f} {chart.place_y(value):.1f}H{right}"/>' for value, _ in chart.y.ticks]
    return [*lines, f'<path class="axis" d="M{left:.1f} {bottom}H{right}"/>']


def _texts(chart: Chart) -> list[str]:
    bottom = chart.height - BOTTOM
    ticks = [
        f'<text x="{chart.left - 6:.1f}" y="{chart.place_y(value) + 4:.1f}" text-anchor="end">{text(label)}</text>'
        for value, label in chart.y.ticks
    ]
    ticks += [
        f'<text x="{chart.place_x(value):.1f}" y="{bottom + 16}" text-anchor="middle">{text(label)}</text>'
        for value, label in chart.x.ticks
    ]
    return [
        *ticks,
        f'<text class="label" x="{WIDTH - RIGHT}" y="{bottom + 33}" text-anchor="end">{text(chart.x.label)}</text>',
        f'<text class="label" x="2" y="{TOP - 13}">{text(chart.y.label)}</text>',
    ]


def _mark(chart: Chart, mark: Mark) -> str:
    return _bar(chart, mark) if isinstance(mark, Bar) else _line(chart, mark)


def _bar(chart: Chart, bar: Bar) -> str:
    x0, x1 = chart.place_x(bar.x0), chart.place_x(bar.x1)
    y0, y1 = chart.place_y(bar.y1), chart.place_y(bar.y0)
    opacity = "" if bar.strength == 1 else f' fill-opacity="{bar.strength:.2f}"'
    tip = f"<title>{text(bar.tip)}</title>" if bar.tip else ""
    return (
        f'<rect class="{bar.role}" x="{x0:.1f}" y="{y0:.1f}" width="{x1 - x0:.1f}" height="{y1 - y0:.1f}"{opacity}>'
        f"{tip}</rect>"
    )


def _line(chart: Chart, line: Line) -> str:
    places = [(chart.place_x(x), chart.place_y(y)) for x, y in line.points]
    shape = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    kind = f"line {line.role}{' dashed' * line.is_dashed}{' faint' * line.is_faint}"
    dots = [f'<circle class="{line.role}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in places if line.has_dots]
    return "".join([f'<path class="{kind}" d="{shape}"/>', *dots])
