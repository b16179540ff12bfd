"""Charts as PNG files."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from mal.files import atomic_file
from mal.report.chart_model import BOTTOM, RIGHT, TOP, WIDTH, Bar, Chart, Line, Role

SCALE = 3  # picture pixels for one of the drawing
FINER = 2  # drawn so much larger and reduced, so that slanted lines are smooth
HEAD = 34  # for the title; as much again for a legend

PAPER, INK, QUIET_INK, GRID = (255, 255, 255), (26, 28, 33), (98, 101, 111), (232, 229, 222)
Color = tuple[int, ...]

COLORS: dict[Role, Color] = {
    "first": (11, 110, 99),
    "second": (201, 116, 12),
    "third": (78, 91, 184),
    "quiet": (165, 162, 154),
}


def write_chart(chart: Chart, path: Path) -> None:
    """Draw a chart on white.

    Raises:
        UserError: the file cannot be written.
    """
    drawing = _Drawing(chart)
    drawing.draw()
    with atomic_file(path) as file:
        drawing.picture().save(file, format="PNG", optimize=True)


class _Drawing:
    def __init__(self, chart: Chart) -> None:
        self.chart = chart
        self.head = HEAD + (22 if chart.legend else 0)
        self.unit = SCALE * FINER
        self.canvas = Image.new("RGB", (WIDTH * self.unit, (chart.height + self.head) * self.unit), PAPER)
        self.pen = ImageDraw.Draw(self.canvas)

    def picture(self) -> Image.Image:
        return self.canvas.reduce(FINER)

    def draw(self) -> None:
        chart = self.chart
        right, bottom = WIDTH - RIGHT, chart.height - BOTTOM
        self._write((10, 14), chart.title, 14, INK, "lm")
        x = 10.0
        for role, name in chart.legend:
            self._rectangle((x, 34, x + 10, 44), COLORS[role])
            self._write((x + 15, 39), name, 11, QUIET_INK, "lm")
            x += 15 + self.pen.textlength(name, font=_font(11 * self.unit)) / self.unit + 16
        for value, label in chart.y.ticks:
            y = self.head + chart.place_y(value)
            self._stroke([(chart.left, y), (right, y)], GRID, 1)
            self._write((chart.left - 6, y), label, 11, QUIET_INK, "rm")
        for mark in chart.marks:
            self._bar(mark) if isinstance(mark, Bar) else self._line(mark)
        self._stroke([(chart.left, self.head + bottom), (right, self.head + bottom)], INK, 1)
        for value, label in chart.x.ticks:
            self._write((chart.place_x(value), self.head + bottom + 12), label, 11, QUIET_INK, "mm")
        self._write((right, self.head + bottom + 30), chart.x.label, 11, INK, "rm")
        self._write((2, self.head + TOP - 16), chart.y.label, 11, INK, "lm")

    def _bar(self, bar: Bar) -> None:
        chart = self.chart
        color = tuple(
            round(paper + bar.strength * (ink - paper)) for paper, ink in zip(PAPER, COLORS[bar.role], strict=True)
        )
        x0, x1 = chart.place_x(bar.x0), chart.place_x(bar.x1)
        y0, y1 = self.head + chart.place_y(bar.y1), self.head + chart.place_y(bar.y0)
        if x1 > x0 and y1 > y0:
            self._rectangle((x0, y0, x1, y1), color)

    def _line(self, line: Line) -> None:
        chart, own = self.chart, COLORS[line.role]
        color = tuple((value + 2 * 255) // 3 for value in own) if line.is_faint else own
        places = [(chart.place_x(x), self.head + chart.place_y(y)) for x, y in line.points]
        for start, end in _dashes(places) if line.is_dashed else pairwise(places):
            self._stroke([start, end], color, 1.2 if line.is_faint else 2)
        for x, y in places if line.has_dots else []:
            box = [(x - 3) * self.unit, (y - 3) * self.unit, (x + 3) * self.unit, (y + 3) * self.unit]
            self.pen.ellipse(box, fill=color)

    def _rectangle(self, corners: tuple[float, float, float, float], color: Color) -> None:
        x0, y0, x1, y1 = (side * self.unit for side in corners)
        self.pen.rectangle((x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)), fill=color)

    def _stroke(self, points: list[tuple[float, float]], color: Color, width: float) -> None:
        self.pen.line(
            [(x * self.unit, y * self.unit) for x, y in points], fill=color, width=max(1, round(width * self.unit))
        )

    def _write(self, place: tuple[float, float], words: str, size: int, color: Color, anchor: str) -> None:
        x, y = place
        self.pen.text((x * self.unit, y * self.unit), words, font=_font(size * self.unit), fill=color, anchor=anchor)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size)


def _dashes(places: list[tuple[float, float]]) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """Short pieces of a line with gaps of the same length."""
    pieces = []
    for (x0, y0), (x1, y1) in pairwise(places):
        count = max(1, round(((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5 / 5))
        cuts = [(x0 + (x1 - x0) * part / count, y0 + (y1 - y0) * part / count) for part in range(count + 1)]
        pieces += [(cuts[part], cuts[part + 1]) for part in range(0, count, 2)]
    return pieces
