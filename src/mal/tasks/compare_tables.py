"""Terminal output of `mal compare`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich import box
from rich.table import Table

from mal.coco.coco_file import show
from mal.metrics.comparison import ComparedFigure, Comparison, Difference
from mal.metrics.matched_boxes import MatchedBoxes
from mal.report.comparison_words import CLASSES_SHOWN, class_changes, named_figures, sure_words
from mal.tasks.compare_sources import MeasuredRun


def comparison_tables(comparison: Comparison, names: Sequence[str], classes: Sequence[str]) -> Iterator[Table]:
    """Tables: metrics of all runs; then for each run but the first the differences and the classes that change most.

    Args:
        comparison: the results.
        names: names of the runs.
        classes: class names by class number.
    """
    figures = named_figures(comparison)
    count = f"{comparison.boxes:,} boxes in {comparison.images:,} images that all runs have"
    if len(names) > 2:
        yield _values_table(count, names, figures)
    for number, name in enumerate(names[1:], start=1):
        pair = (names[0], name)
        yield _pair_table(
            f"{name} against {names[0]}, {count}", pair, [(key, each.pair(number)) for key, each in figures]
        )
        for words, chosen in zip(("gain", "lose"), class_changes(comparison, number, CLASSES_SHOWN), strict=True):
            rows = [(classes[key], comparison.classes[key].pair(number)) for key in chosen]
            if rows:
                yield _pair_table(f"classes that {words} most", pair, rows)


def remarks(runs: Sequence[MeasuredRun], matched: MatchedBoxes) -> list[str]:
    """Differences between the runs' inputs, one line each."""
    lines = [f"{run.missing} boxes with a true mask have no mask in {run.name}" for run in runs if run.missing]
    lines += [
        f"{count} of the {len(run.instances)} boxes of {run.name} are not in all runs and are left out"
        for run, count in zip(runs, matched.alone, strict=True)
        if count
    ]
    if matched.moved:
        lines.append(f"{matched.moved} boxes with the same image and id lie elsewhere in another run and are left out")
    if len({run.truth for run in runs}) > 1:
        lines.append("true masks come from different files: " + ", ".join(f"{run.name} {run.truth}" for run in runs))
    if matched.other_truth:
        lines.append(f"{matched.other_truth} of the compared boxes have true masks of different area")
    settings = dict.fromkeys(key for run in runs for key in run.settings)
    for key in settings:
        known = [(run.name, show(run.settings[key])) for run in runs if key in run.settings]
        if len({value for _, value in known}) > 1:
            lines.append(f"{key} differs: " + ", ".join(f"{name} {value}" for name, value in known))
    return lines


def _table(title: str, names: Sequence[str], columns: Sequence[str]) -> Table:
    table = Table(
        title=title,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    table.add_column("", overflow="ellipsis", no_wrap=True)
    for name in names:
        table.add_column(name, justify="right", overflow="fold")  # a long name makes the header taller
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _values_table(title: str, names: Sequence[str], rows: Sequence[tuple[str, ComparedFigure]]) -> Table:
    table = _table(title, names, ["boxes"])
    for name, figure in rows:
        table.add_row(name, *(f"{value:.3f}" for value in figure.values), f"{figure.boxes:,}")
    return table


def _pair_table(title: str, names: Sequence[str], rows: Sequence[tuple[str, ComparedFigure]]) -> Table:
    table = _table(title, names, ["difference", "sure", "boxes"])
    for name, figure in rows:
        difference = figure.differences[0]
        values = [f"{value:.3f}" for value in figure.values]
        table.add_row(name, *values, _difference(difference), sure_words(difference), f"{figure.boxes:,}")
    return table


def _difference(difference: Difference) -> str:
    if difference.verdict == "same":
        return "none"
    ends = " [{:+.3f}, {:+.3f}]".format(*difference.interval) if difference.interval else ""
    return f"{difference.mean:+.3f}{ends}"
