"""The tables of mask quality in docs/quality.md, from the cells that exist; what is missing is said in its row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean

import numpy as np
import numpy.typing as npt

from benchmarks.quality_cells import RULES_SEED, Boxes, Cell, CellKey, read_cell
from benchmarks.quality_columns import COLUMNS
from mal.metrics.comparison import ComparedFigure, PairedBoxes, compare

BEGIN, END = "<!-- quality table: begin -->", "<!-- quality table: end -->"
REFERENCE, CEILING = "ellipse", "ceiling"
GOOD = 0.75
MISSING = "missing"

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class View:
    """A set whose boxes are measured together.

    Attributes:
        name: of the set.
        folds: their numbers, whose boxes are joined; (None,) for val alone.
    """

    name: str
    folds: tuple[int | None, ...] = (None,)

    @property
    def title(self) -> str:
        """For the table."""
        return self.name if self.folds == (None,) else f"{self.name}, {len(self.folds)} folds"


@dataclass(frozen=True)
class Measured:
    """One column of a view.

    Attributes:
        seeds: that were measured.
        missing: what was not, as text.
        boxes: of each seed, all folds together.
        minutes: of each training; empty without any.
        rates: boxes a second of each cell.
    """

    seeds: tuple[int, ...]
    missing: tuple[str, ...]
    boxes: tuple[Boxes, ...]
    minutes: tuple[float, ...]
    rates: tuple[float, ...]

    @property
    def iou(self) -> Values:
        """(seeds, N)."""
        return np.array([boxes.iou for boxes in self.boxes])

    @property
    def boundary_iou(self) -> Values:
        """(seeds, N)."""
        return np.array([boxes.boundary_iou for boxes in self.boxes])


def seeds_of(column: str, seeds: Sequence[int], view: View) -> Sequence[int]:
    """The seeds that a column of a view is measured with: folds and ablations take the first alone."""
    if COLUMNS[column].training is None:
        return [RULES_SEED]
    return seeds if COLUMNS[column].is_final and view.folds == (None,) else seeds[:1]


def measured(folder: Path, view: View, column: str, seeds: Sequence[int]) -> Measured:
    """Read a column of a view; a seed counts once all of its folds are there."""
    found: dict[int, list[Cell]] = {}
    missing: list[str] = []
    for seed in seeds_of(column, seeds, view):
        cells = [(fold, read_cell(folder, CellKey(view.name, column, seed, fold))) for fold in view.folds]
        absent = [fold for fold, cell in cells if cell is None]
        if absent:
            folds = "" if view.folds == (None,) else f" (folds {', '.join(map(str, absent))})"
            missing.append(f"seed {seed}{folds}")
        else:
            found[seed] = [cell for _, cell in cells if cell is not None]
    every = [cell for cells in found.values() for cell in cells]
    return Measured(
        seeds=tuple(found),
        missing=tuple(missing),
        boxes=tuple(_joined([cell.boxes for cell in cells]) for cells in found.values()),
        minutes=tuple(cell.minutes for cell in every if cell.minutes is not None),
        rates=tuple(cell.boxes_per_second for cell in every),
    )


def _joined(parts: Sequence[Boxes]) -> Boxes:
    lines = [
        line
        for part in parts
        for line in zip(part.ids, part.images, part.classes, part.areas, part.iou, part.boundary_iou, strict=True)
    ]
    return Boxes.of_lines(lines)


def overview(folder: Path, views: Sequence[View], columns: Sequence[str], seeds: Sequence[int]) -> Iterator[str]:
    """Mean IoU over boxes, sets down, columns across."""
    yield "Mean IoU over boxes, mean over seeds; the best of each set without true masks in bold."
    yield ""
    yield _line(["set", "boxes", *(COLUMNS[column].title for column in columns)])
    yield _line(["---"] * (2 + len(columns)))
    for view in views:
        found = {column: measured(folder, view, column, seeds) for column in columns}
        means = {column: float(each.iou.mean()) for column, each in found.items() if each.boxes}
        best = max((value for column, value in means.items() if column != CEILING), default=None)
        cells = [_overview_cell(means.get(column), best, column, found[column]) for column in columns]
        count = next((str(len(each.boxes[0].ids)) for each in found.values() if each.boxes), MISSING)
        yield _line([view.title, count, *cells])


def _overview_cell(value: float | None, best: float | None, column: str, found: Measured) -> str:
    if value is None:
        return MISSING
    text = f"**{_number(value)}**" if value == best and column != CEILING else _number(value)
    return f"{text} ({len(found.seeds)} of {len(found.seeds) + len(found.missing)} seeds)" if found.missing else text


def details(folder: Path, view: View, columns: Sequence[str], seeds: Sequence[int]) -> Iterator[str]:
    """All figures of a set, columns down."""
    yield f"**{view.title}**"
    yield ""
    heads = ["masks", "seeds", "IoU, boxes", "IoU, classes", "boundary IoU", "≥ .75"]
    heads += ["minus ellipse [95 %]", "range of seeds", "of the ceiling", "minutes", "boxes/s"]
    yield _line(heads)
    yield _line(["---"] * len(heads))
    found = {column: measured(folder, view, column, seeds) for column in columns}
    compared = _compared(found)
    ceiling = compared[CEILING]["miou_instances"].values[-1] if CEILING in compared else None
    for column in columns:
        title = COLUMNS[column].title
        if column in compared:
            difference = _difference(compared[column]["miou_instances"]) if REFERENCE in compared else ""
            yield _line([title, *_row(found[column], compared[column], difference, ceiling)])
        else:
            yield _line([title, f"{MISSING}: {', '.join(found[column].missing)}", *[""] * (len(heads) - 2)])


def _compared(found: Mapping[str, Measured]) -> dict[str, dict[str, ComparedFigure]]:
    """Figures of each column that is there, beside the ellipse, by column and name."""
    there = {column: each for column, each in found.items() if each.boxes}
    if not there:
        return {}
    first = REFERENCE if REFERENCE in there else next(iter(there))
    order = [first, *(column for column in there if column != first)]
    paired = _paired([there[column] for column in order])
    figures = {
        column: compare(replace(paired, iou=paired.iou[:, [0, run]], boundary_iou=paired.boundary_iou[:, [0, run]]))
        for run, column in enumerate(order)
    }
    return {column: figures[column].figures for column in order}


def _paired(columns: Sequence[Measured]) -> PairedBoxes:
    """Mean over seeds of each box and column.

    Raises:
        SystemExit: columns were measured on different boxes.
    """
    first = columns[0].boxes[0]
    if any(boxes.ids != first.ids for column in columns for boxes in column.boxes):
        raise SystemExit("cells were measured on different boxes; remove those of an older set")
    return PairedBoxes(
        iou=np.stack([column.iou.mean(0) for column in columns], axis=1),
        boundary_iou=np.stack([column.boundary_iou.mean(0) for column in columns], axis=1),
        images=np.unique(first.images, return_inverse=True)[1],
        classes=np.unique(first.classes, return_inverse=True)[1],
        box_areas=np.array(first.areas),
    )


def _row(found: Measured, compared: Mapping[str, ComparedFigure], difference: str, ceiling: float | None) -> list[str]:
    of_seeds = found.iou.mean(1).tolist()
    value = compared["miou_instances"].values[-1]
    seeds = f"{len(found.seeds)}{f', {MISSING}: ' + ', '.join(found.missing) if found.missing else ''}"
    figures = [compared[name].values[-1] for name in ("miou_instances", "miou_classes", "boundary_iou_instances")]
    return [
        seeds,
        *map(_number, figures),
        _number(float((found.iou >= GOOD).mean())),
        difference,
        f"{_number(min(of_seeds))} to {_number(max(of_seeds))}" if len(of_seeds) > 1 else "",
        f"{100 * value / ceiling:.0f} %" if ceiling else "",
        f"{mean(found.minutes):.1f}" if found.minutes else "",
        f"{mean(found.rates):.0f}",
    ]


def _difference(figure: ComparedFigure) -> str:
    (difference,) = figure.differences
    if not difference.mean and (difference.interval or (0, 0)) == (0, 0):
        return ""
    ends = f" [{', '.join(_signed(end) for end in difference.interval)}]" if difference.interval else ""
    return f"{_signed(difference.mean)}{ends}"


def _number(value: float) -> str:
    return f"{value:.3f}".removeprefix("0")


def _signed(value: float) -> str:
    return f"{'+' if value > 0 else '−'}{_number(abs(value))}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def tables(folder: Path, views: Sequence[View], columns: Sequence[str], seeds: Sequence[int]) -> str:
    """All tables as Markdown."""
    parts = ["\n".join(overview(folder, views, columns, seeds))]
    parts += ["\n".join(details(folder, view, columns, seeds)) for view in views]
    return "\n\n".join(parts)


def put_between_markers(path: Path, text: str, markers: tuple[str, str] = (BEGIN, END)) -> None:
    """Replace what stands between two lines of a file.

    Raises:
        SystemExit: a marker is missing.
    """
    begin, end = markers
    page = path.read_text(encoding="utf-8")
    if page.count(begin) != 1 or page.count(end) != 1:
        raise SystemExit(f"{path}: holds no lines {begin} and {end}, one of each, to write the tables between")
    before, rest = page.split(begin)
    _, after = rest.split(end)
    path.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", encoding="utf-8")
