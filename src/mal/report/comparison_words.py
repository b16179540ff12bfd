"""A comparison in words, for terminal and page."""

from __future__ import annotations

from mal.metrics.comparison import ENOUGH_IMAGES, ComparedFigure, Comparison, Difference

FIGURE_NAMES = {
    "miou_classes": "mIoU over classes",
    "miou_instances": "mIoU over boxes",
    "miou_instances_small": "  small boxes",
    "miou_instances_medium": "  medium boxes",
    "miou_instances_large": "  large boxes",
    "boundary_iou_instances": "boundary IoU",
    "dice_instances": "Dice",
    "share_iou_50": "IoU >= 0.50",
    "share_iou_75": "IoU >= 0.75",
    "share_iou_90": "IoU >= 0.90",
}
CLASSES_SHOWN = 8

_VERDICTS = {
    "better": "better",
    "worse": "worse",
    "same": "no difference",
    "unclear": "no clear difference",
}


def named_figures(comparison: Comparison) -> list[tuple[str, ComparedFigure]]:
    """The figures by their names in words, in the order in which they are shown."""
    return [(name, comparison.figures[key]) for key, name in FIGURE_NAMES.items() if key in comparison.figures]


def difference_words(difference: Difference) -> str:
    """Verdict, difference and interval."""
    words = f"{_VERDICTS[difference.verdict]} ({difference.mean:+.3f}"
    if difference.interval is not None:
        low, high = difference.interval
        words += f", 95 % interval {low:+.3f} to {high:+.3f}"
    return f"{words})"


def sure_words(difference: Difference) -> str:
    """How sure it is that the difference is not zero; the draws cannot tell more than three digits."""
    if difference.certainty is None:
        return "-"
    return f"{100 * difference.certainty:.1f} %"


def class_changes(comparison: Comparison, run: int, count: int) -> tuple[list[int], list[int]]:
    """Classes with an interval, or all where none has one, by their difference from the first run.

    Args:
        comparison: what was found.
        run: number of the run, from 1.
        count: how many of each.

    Returns:
        Numbers of the classes that gain most, and of those that lose most.
    """
    differences = {number: figure.differences[run - 1] for number, figure in comparison.classes.items()}
    known = {number: each for number, each in differences.items() if each.interval is not None} or differences
    order = sorted(known, key=lambda number: -known[number].mean)
    gains = [number for number in order if known[number].mean > 0]
    losses = [number for number in reversed(order) if known[number].mean < 0]
    return gains[:count], losses[:count]


def class_note(comparison: Comparison) -> str:
    """Which classes can be among the gains and losses."""
    figures = comparison.classes.values()
    known = sum(all(each.interval is not None for each in figure.differences) for figure in figures)
    if not known:
        return f"No class is in {ENOUGH_IMAGES} images, so none has an interval."
    return (
        f"Mean IoU over the boxes of a class; chosen from the {known} of {len(figures)} classes that are in"
        f" {ENOUGH_IMAGES} images. Of many classes one in twenty seems to differ by chance."
    )
