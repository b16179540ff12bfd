"""The page of `mal compare`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mal.metrics.comparison import CHANGED, ComparedFigure, Comparison, Difference
from mal.report.comparison_words import (
    CLASSES_SHOWN,
    class_changes,
    class_note,
    difference_words,
    named_figures,
    sure_words,
)
from mal.report.mask_crop import MaskCrop
from mal.report.page import render, text

Rows = tuple[list[int], list[int]]
NamedFigure = tuple[str, ComparedFigure]


@dataclass(frozen=True, slots=True)
class ComparedBox:
    """A box that is shown.

    Attributes:
        title: its class and size.
        where: its image and annotation.
        ious: IoU of each run's mask with the true one.
        crop: the picture with its masks.
    """

    title: str
    where: str
    ious: tuple[float, ...]
    crop: MaskCrop


def compare_page(
    comparison: Comparison,
    names: Sequence[str],
    paths: Sequence[str],
    classes: Sequence[str],
    remarks: Sequence[str],
    changes: Sequence[Rows],
    boxes: Mapping[int, ComparedBox],
) -> str:
    """The page as HTML that needs no other file and runs no script.

    Args:
        comparison: what was found.
        names, paths: of the runs.
        classes: names by the numbers that the comparison uses.
        remarks: what a reader has to know about the boxes and the runs.
        changes: for each run but the first, rows whose IoU has risen and rows whose IoU has fallen.
        boxes: those of these rows that can be shown.
    """
    others = list(enumerate(names))[1:]
    tables = [_values(comparison, names)] if len(names) > 2 else []
    tables += [_pair(comparison, (names[0], name), number, classes) for number, name in others]
    return render(
        "compare.html",
        style=render("report.css") + render("compare.css"),
        title=text(" against ".join([names[1], names[0]]) if len(names) == 2 else f"{len(names)} runs side by side"),
        story=text(_story(comparison, names)),
        facts="\n".join(f"<dt>{text(name)}</dt><dd>{text(path)}</dd>" for name, path in zip(names, paths, strict=True)),
        remarks="\n".join(f"<li>{text(line)}</li>" for line in remarks),
        tables="\n".join(tables),
        class_note=text(class_note(comparison)),
        galleries="\n".join(
            _gallery(title, rows, boxes, names, number)
            for (number, name), (higher, lower) in zip(others, changes, strict=True)
            for title, rows in ((f"{name} gains most", higher), (f"{name} loses most", lower))
        ),
    )


def _story(comparison: Comparison, names: Sequence[str]) -> str:
    sentences = [f"{comparison.boxes:,} boxes in {comparison.images:,} images have a mask of every run."]
    figure = comparison.figures["miou_classes"]
    for name, difference, changes in zip(names[1:], figure.differences, comparison.changes, strict=True):
        sentences.append(
            f"{name} reaches {figure.values[0] + difference.mean:.3f} mIoU over classes where {names[0]} reaches "
            f"{figure.values[0]:.3f}: {difference_words(difference)}. Its masks have a higher IoU in "
            f"{changes.higher:,} boxes and a lower one in {changes.lower:,} (by more than {CHANGED})."
        )
    return " ".join(sentences)


def _values(comparison: Comparison, names: Sequence[str]) -> str:
    """All runs side by side."""
    rows = [
        _row(name, [*(_number(f"{value:.3f}") for value in figure.values), _number(f"{figure.boxes:,}")])
        for name, figure in named_figures(comparison)
    ]
    return f"<section><h2>All runs</h2>\n{_table('Figures', [*names, 'boxes'], rows)}</section>"


def _pair(comparison: Comparison, names: tuple[str, str], run: int, classes: Sequence[str]) -> str:
    """A run against the first: the figures, and the classes that gain and lose most."""
    figures = [(name, figure.pair(run)) for name, figure in named_figures(comparison)]
    changes = [
        [(classes[key], comparison.classes[key].pair(run)) for key in keys]
        for keys in class_changes(comparison, run, CLASSES_SHOWN)
    ]
    tables = [_pair_table("Figures", names, figures, _reach(figures))]
    reach = _reach([row for rows in changes for row in rows])
    for title, rows in zip(("Classes that gain most", "Classes that lose most"), changes, strict=True):
        tables += [_pair_table(title, names, rows, reach)] if rows else []
    return f"<section><h2>{text(f'{names[1]} against {names[0]}')}</h2>\n" + "\n".join(tables) + "</section>"


def _pair_table(title: str, names: tuple[str, str], figures: Sequence[NamedFigure], reach: float) -> str:
    rows = []
    for name, figure in figures:
        difference = figure.differences[0]
        cells = [
            *(_number(f"{value:.3f}") for value in figure.values),
            _number(f"{difference.mean:+.3f}", kind=difference.verdict),
            f'<td class="number">{_interval(difference, reach)}</td>',
            _number(sure_words(difference)),
            _number(f"{figure.boxes:,}"),
        ]
        rows.append(_row(name, cells))
    return _table(title, [*names, "difference", "95 % interval", "sure", "boxes"], rows)


def _table(title: str, columns: Sequence[str], rows: Sequence[str]) -> str:
    heads = "".join(f'<th scope="col">{text(column)}</th>' for column in columns)
    return render("compare_table.html", title=text(title), heads=heads, rows="\n".join(rows))


def _row(name: str, cells: Sequence[str]) -> str:
    return f'<tr><th scope="row">{text(name)}</th>{"".join(cells)}</tr>'


def _number(words: str, *, kind: str = "") -> str:
    return f'<td class="number {kind}">{text(words)}</td>'


def _reach(figures: Sequence[NamedFigure]) -> float:
    """The largest difference that the drawn intervals have to show."""
    differences = [difference for _, figure in figures for difference in figure.differences]
    ends = [abs(end) for each in differences for end in (each.mean, *(each.interval or ()))]
    return max([*ends, 1e-6])


def _interval(difference: Difference, reach: float) -> str:
    """A line from end to end with a dot at the difference, and a mark at zero."""
    if difference.interval is None:
        return '<span class="note">too few to tell</span>'
    low, high = difference.interval
    places = [80 + 76 * value / reach for value in (low, difference.mean, high)]
    words = f"{low:+.3f} to {high:+.3f}"
    return (
        f'<svg class="interval {difference.verdict}" viewBox="0 0 160 16" role="img" aria-label="{words}">'
        f'<title>{words}</title><path class="zero" d="M80 0V16"/><path d="M{places[0]:.1f} 8H{places[2]:.1f}"/>'
        f'<circle cx="{places[1]:.1f}" cy="8" r="4"/></svg><span class="ends">{words}</span>'
    )


def _gallery(
    title: str, rows: Sequence[int], boxes: Mapping[int, ComparedBox], names: Sequence[str], number: int
) -> str:
    # A box may be in several galleries, and an id only once in the page.
    shown = [_box(f"p{number}-{row}", boxes[row], names, number) for row in rows if row in boxes]
    if not shown:
        return ""
    return f'<section><h2>{text(title)}</h2>\n<div class="boxes">\n' + "\n".join(shown) + "\n</div></section>"


def _box(key: str, box: ComparedBox, names: Sequence[str], number: int) -> str:
    rise = box.ious[number] - box.ious[0]
    panels = [_panel(key, box.crop, "Truth", f'<path class="true-mask" d="{box.crop.truth}"/>', is_first=True)]
    for name, iou, mask in zip(names, box.ious, box.crop.masks, strict=True):
        drawn = f'<path class="mask" d="{mask or ""}"/>{_line(box.crop.truth)}'
        panels.append(_panel(key, box.crop, f"{name} {iou:.2f}", drawn))
    return render(
        "compare_box.html",
        panels="\n".join(panels),
        title=text(box.title),
        change=f"{rise:+.2f}",
        verdict="better" if rise > 0 else "worse",
        where=text(box.where),
    )


def _panel(key: str, crop: MaskCrop, caption: str, drawn: str, *, is_first: bool = False) -> str:
    x, y, width, height = crop.box
    size = f'width="{crop.width}" height="{crop.height}"'
    picture = f'<image id="{key}" href="{crop.uri}" {size}/>' if is_first else f'<use href="#{key}"/>'
    frame = f'<rect class="frame" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"/>'
    return (
        f'<figure><svg viewBox="0 0 {crop.width} {crop.height}" role="img" aria-label="{text(caption)}">'
        f"{picture}{drawn}{frame}</svg><figcaption>{text(caption)}</figcaption></figure>"
    )


def _line(outline: str) -> str:
    """White with a dark rim, which shows on any ground."""
    return f'<path class="rim" d="{outline}"/><path class="outline" d="{outline}"/>'
