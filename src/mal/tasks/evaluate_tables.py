"""Terminal output of an evaluation."""

from __future__ import annotations

from rich import box
from rich.table import Table

from mal.console import console
from mal.metrics.box_noise import KINDS, BoxNoise
from mal.metrics.results import ClassFigures, DifferenceFigures, EvaluationFigures, Interval, MethodFigures
from mal.size_bins import SIZE_NAMES

CLASSES_SHOWN = 12

_WITH_INTERVALS = {
    "miou_classes": "mIoU over classes",
    "miou_instances": "mIoU over boxes",
    "boundary_iou_instances": "boundary IoU",
    "dice_instances": "Dice",
    "share_iou_50": "IoU >= 0.50",
    "share_iou_75": "IoU >= 0.75",
    "share_iou_90": "IoU >= 0.90",
}
_MASK_AP = {"mask_ap": "mask AP", "mask_ap_50": "mask AP at 0.50", "mask_ap_75": "mask AP at 0.75"}


def show_evaluation(figures: EvaluationFigures) -> None:
    """Print the tables of methods, sizes and classes."""
    for table in (methods_table(figures), size_metrics_table(figures), class_metrics_table(figures)):
        console.print(table)
        console.print()


def methods_table(figures: EvaluationFigures) -> Table:
    """The model with its intervals, the two baselines, and the model's lead over the ellipse."""
    table = _table(
        f"mean IoU and more of {figures.model.n:,} boxes in {figures.images:,} images [95 % interval]",
        ["", "model", "box", "ellipse", "model - ellipse"],
    )
    against = figures.model_minus_ellipse
    for name, title in _WITH_INTERVALS.items():
        values = [_number(getattr(method, name)) for method in (figures.box, figures.ellipse)]
        table.add_row(
            title, _with_interval(figures.model, name), *values, _difference(getattr(against, name)) if against else "-"
        )
    for name, title in _MASK_AP.items():
        methods = (figures.model, figures.box, figures.ellipse)
        table.add_row(title, *(_number(getattr(method, name)) for method in methods), "")
    return table


def size_metrics_table(figures: EvaluationFigures) -> Table:
    """Mean IoU over boxes, by box size and by true mask size."""
    table = _table("mean IoU over boxes by size", ["", "how many", "model", "box", "ellipse"])
    methods = (figures.model, figures.box, figures.ellipse)
    for size in SIZE_NAMES:
        means = [getattr(method, f"miou_instances_{size}") for method in methods]
        table.add_row(f"{size} boxes", f"{getattr(figures.model, f'n_{size}'):,}", *map(_number, means))
    table.add_section()
    for size in SIZE_NAMES:
        means = [method.by_mask_area[size].miou_instances for method in methods]
        table.add_row(f"{size} masks", f"{figures.model.by_mask_area[size].n:,}", *map(_number, means))
    return table


def class_metrics_table(figures: EvaluationFigures) -> Table:
    """Metrics of the classes with most boxes."""
    classes = sorted(figures.model.by_class.items(), key=lambda item: -item[1].n)
    hidden = len(classes) - CLASSES_SHOWN
    more = f" ({hidden} more in classes.csv)" if hidden > 0 else ""
    table = _table(f"mean IoU of the classes with most boxes{more}", ["", "boxes", "model", "box", "ellipse"])
    for name, entry in classes[:CLASSES_SHOWN]:
        others: list[ClassFigures] = [method.by_class[name] for method in (figures.box, figures.ellipse)]
        table.add_row(name, f"{entry.n:,}", *(_number(each.miou) for each in (entry, *others)))
    return table


def box_noise_table(noise: BoxNoise) -> Table:
    """Mean IoU over boxes, by kind and level of noise."""
    table = _table(
        f"mean IoU of {noise.boxes:,} boxes under noise, a share of their sides",
        ["noise", "model", "box", "ellipse", "model - ellipse"],
    )
    for kind in KINDS:
        for point in getattr(noise, kind):
            table.add_row(
                f"{kind} {point.level:.0%}",
                _text(point.model, point.model_interval),
                _number(point.box),
                _number(point.ellipse),
                _text(point.model_minus_ellipse, point.model_minus_ellipse_interval, "+"),
            )
        table.add_section()
    return table


def _table(title: str, columns: list[str]) -> Table:
    table = Table(
        title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0)
    )
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=True, overflow="ellipsis")
    return table


def _with_interval(method: MethodFigures, name: str) -> str:
    value = getattr(method, name)
    return "-" if value is None else _text(value, getattr(method.intervals, name) if method.intervals else None)


def _difference(found: DifferenceFigures) -> str:
    return _text(found.mean, found.interval, "+")


def _text(value: float, interval: Interval | None, sign: str = "") -> str:
    ends = f" [{interval[0]:{sign}.3f}, {interval[1]:{sign}.3f}]" if interval else ""
    return f"{value:{sign}.3f}{ends}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
