"""Charts as files: SVG, and PNG where matplotlib (the extra [charts]) is installed."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from mal.files import atomic_file
from mal.report.chart_model import Bar, Chart, Line, Role
from mal.report.page import render

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PAPER, INK, QUIET_INK, GRID = "#ffffff", "#1a1c21", "#62656f", "#e8e5de"
COLORS: dict[Role, str] = {"first": "#0b6e63", "second": "#c9740c", "third": "#4e5bb8", "quiet": "#a5a29a"}

HEAD, LEGEND = 34, 22  # what title and legend add to the height of a drawing
SCALE = 3  # picture pixels for one of the drawing
PER_INCH = 100  # pixels of the drawing, so that matplotlib's points have a size in them
POINT = 72 / PER_INCH


def png_is_possible() -> bool:
    """Whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


def write_chart(chart: Chart, folder: Path, *, only_missing: bool = False) -> list[Path]:
    """Draw a chart on white, as `<its name>.svg` and, where matplotlib is installed, as `<its name>.png`.

    Args:
        chart: what is drawn.
        folder: of the files.
        only_missing: whether a file that is there stays as it is.

    Returns:
        The files, with those that stayed.

    Raises:
        UserError: a file cannot be written.
    """
    paths = [folder / f"{chart.name}.svg"]
    paths += [folder / f"{chart.name}.png"] if png_is_possible() else []
    for path in paths:
        if not (only_missing and path.exists()):
            with atomic_file(path) as file:
                _write_png(chart, file) if path.suffix == ".png" else file.write(_svg(chart).encode("utf-8"))
    return paths


def _head(chart: Chart) -> int:
    return HEAD + (LEGEND if chart.legend else 0)


def _svg(chart: Chart) -> str:
    return render(
        "chart_file.svg",
        chart=chart,
        head=_head(chart),
        colors=COLORS,
        paper=PAPER,
        ink=INK,
        quiet=QUIET_INK,
        grid=GRID,
    )


def _write_png(chart: Chart, file: BinaryIO) -> None:
    from matplotlib import style  # slow to import, and an extra

    # Class names are no formulas, and the user's own style is not what these sizes were made for.
    with style.context({"text.parse_math": False}, after_reset=True), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # the SVG has every script
        _figure(chart).savefig(file, format="png", dpi=SCALE * PER_INCH, metadata={"Software": None})


def _figure(chart: Chart) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    width, height = chart.width, chart.height + _head(chart)
    figure = Figure(figsize=(width / PER_INCH, height / PER_INCH), facecolor=PAPER)

    def write(x: float, y: float, words: str, size: int, *, align: str = "left") -> None:
        figure.text(x / width, 1 - y / height, words, size=size * POINT, color=INK, ha=align, va="center")

    write(10, 14, chart.title, 14)
    write(2, _head(chart) + chart.top - 16, chart.y.label, 11)
    write(chart.right, height - 10, chart.x.label, 11, align="right")
    figure.legend(
        handles=[Patch(color=COLORS[role], label=name) for role, name in chart.legend],
        loc="upper left",
        bbox_to_anchor=(10 / width, 1 - 32 / height),
        ncols=max(1, len(chart.legend)),
        fontsize=11 * POINT,
        labelcolor=QUIET_INK,
        frameon=False,
        borderpad=0,
        borderaxespad=0,
        handlelength=0.9,
        handleheight=0.9,
        handletextpad=0.5,
        columnspacing=1.5,
    )
    plot = chart.right - chart.left, chart.bottom - chart.top
    left, low = chart.left / width, (chart.height - chart.bottom) / height
    axes = figure.add_axes((left, low, plot[0] / width, plot[1] / height))
    _draw_axes(axes, chart)
    for mark in chart.marks:
        _draw_bar(axes, mark) if isinstance(mark, Bar) else _draw_line(axes, mark)
    return figure


def _draw_axes(axes: Axes, chart: Chart) -> None:
    axes.set_xlim(chart.x.low, chart.x.high)
    axes.set_ylim(chart.y.low, chart.y.high)
    for axis, ticks in ((axes.xaxis, chart.x.ticks), (axes.yaxis, chart.y.ticks)):
        axis.set_ticks([value for value, _ in ticks], [label for _, label in ticks])
    axes.tick_params(length=0, pad=6 * POINT, labelsize=11 * POINT, labelcolor=QUIET_INK)
    axes.grid(axis="y", color=GRID, linewidth=POINT)
    axes.set_axisbelow(True)
    axes.spines[["left", "top", "right"]].set_visible(False)
    axes.spines["bottom"].set(color=INK, linewidth=POINT)


def _draw_bar(axes: Axes, bar: Bar) -> None:
    from matplotlib.patches import Rectangle

    size = bar.x1 - bar.x0, bar.y1 - bar.y0
    axes.add_patch(Rectangle((bar.x0, bar.y0), *size, color=COLORS[bar.role], alpha=bar.strength, linewidth=0))


def _draw_line(axes: Axes, line: Line) -> None:
    axes.plot(
        *zip(*line.points, strict=True),
        color=COLORS[line.role],
        alpha=0.3 if line.is_faint else 1,
        linewidth=(1.2 if line.is_faint else 2) * POINT,
        linestyle="--" if line.is_dashed else "-",
        marker="o" if line.has_dots else "",
        markersize=6 * POINT,
        clip_on=False,
    )
