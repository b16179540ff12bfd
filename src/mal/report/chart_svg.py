"""Charts as SVG inside a page, in the page's colours."""

from __future__ import annotations

from mal.report.chart import BOTTOM, RIGHT, TOP, WIDTH, Bar, Chart, Line, Mark
from mal.report.page import render, text


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
