"""The page of `mal compare`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mal.metrics.comparison import CHANGED, ComparedFigure, Comparison
from mal.report.comparison_words import (
    CLASSES_SHOWN,
    class_changes,
    class_note,
    difference_words,
    named_figures,
    sure_words,
)
from mal.report.mask_crop import MaskCrop
from mal.report.page import render

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
    return render(
        "compare.html",
        title=" against ".join([names[1], names[0]]) if len(names) == 2 else f"{len(names)} runs side by side",
        summary=_summary(comparison, names),
        names=list(names),
        runs=list(zip(names, paths, strict=True)),
        remarks=remarks,
        figures=named_figures(comparison),
        pairs=[_pair(comparison, name, run, classes) for run, name in enumerate(names) if run],
        class_note=class_note(comparison),
        galleries=_galleries(names, changes, boxes),
        sure_words=sure_words,
    )


def _summary(comparison: Comparison, names: Sequence[str]) -> str:
    sentences = [f"{comparison.boxes:,} boxes in {comparison.images:,} images have a mask of every run."]
    figure = comparison.figures["miou_classes"]
    for name, difference, changes in zip(names[1:], figure.differences, comparison.changes, strict=True):
        sentences.append(
            f"{name} reaches {figure.values[0] + difference.mean:.3f} mIoU over classes where {names[0]} reaches "
            f"{figure.values[0]:.3f}: {difference_words(difference)}. Its masks have a higher IoU in "
            f"{changes.higher:,} boxes and a lower one in {changes.lower:,} (by more than {CHANGED})."
        )
    return " ".join(sentences)


@dataclass(frozen=True, slots=True)
class _PairTable:
    """Figures of a run beside those of the first, and the largest difference that the drawn intervals have to show."""

    title: str
    figures: Sequence[NamedFigure]
    reach: float


@dataclass(frozen=True, slots=True)
class _Pair:
    """A run against the first: the figures, and the classes that gain and lose most."""

    name: str
    tables: Sequence[_PairTable]


def _pair(comparison: Comparison, name: str, run: int, classes: Sequence[str]) -> _Pair:
    figures = [(title, figure.pair(run)) for title, figure in named_figures(comparison)]
    gains, losses = (
        [(classes[key], comparison.classes[key].pair(run)) for key in keys]
        for keys in class_changes(comparison, run, CLASSES_SHOWN)
    )
    reach = _reach([*gains, *losses])
    tables = [
        _PairTable("Figures", figures, _reach(figures)),
        _PairTable("Classes that gain most", gains, reach),
        _PairTable("Classes that lose most", losses, reach),
    ]
    return _Pair(name, [table for table in tables if table.figures])


def _reach(figures: Sequence[NamedFigure]) -> float:
    differences = [difference for _, figure in figures for difference in figure.differences]
    ends = [abs(end) for each in differences for end in (each.mean, *(each.interval or ()))]
    return max([*ends, 1e-6])


@dataclass(frozen=True, slots=True)
class _Gallery:
    """Boxes, by their rows, in which a run gains or loses most."""

    title: str
    run: int
    boxes: Sequence[tuple[int, ComparedBox]]


def _galleries(names: Sequence[str], changes: Sequence[Rows], boxes: Mapping[int, ComparedBox]) -> list[_Gallery]:
    """Those with a box that can be shown."""
    galleries = [
        _Gallery(title, run, [(row, boxes[row]) for row in rows if row in boxes])
        for run, (higher, lower) in enumerate(changes, start=1)
        for title, rows in ((f"{names[run]} gains most", higher), (f"{names[run]} loses most", lower))
    ]
    return [gallery for gallery in galleries if gallery.boxes]
