"""The charts of a report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mal.printable import printable
from mal.report.chart_model import Axis, Bar, Chart, Line, Mark, Role, number_axis
from mal.report.demo_page import Points, TrainingCurves
from mal.report.report_data import Column, Instances
from mal.size_bins import SIZE_NAMES

BINS = 20
CALIBRATION_BINS = 10
CLASSES_SHOWN = 30

METHODS: tuple[tuple[str, Role, str], ...] = (
    ("iou", "first", "model"),
    ("ellipse_iou", "second", "ellipse in box"),
    ("box_iou", "quiet", "filled box"),
)


def histogram(instances: Instances, measure: str, *, title: str, label: str) -> Chart:
    """How many masks have which value; for the IoU with lines for what a box and an ellipse reach."""
    counts, edges = np.histogram(_known(instances.measures[measure]), BINS, (0, 1))
    marks: list[Mark] = [
        Bar(low + 0.003, high - 0.003, 0, count, "first", f"{low:.2f} to {high:.2f}: {count:,} masks")
        for low, high, count in zip(edges[:-1].tolist(), edges[1:].tolist(), counts.tolist(), strict=True)
    ]
    others = [entry for entry in METHODS[1:] if measure == "iou" and entry[0] in instances.measures]
    highest = int(counts.max())
    for name, role, _ in others:
        heights = np.histogram(_known(instances.measures[name]), BINS, (0, 1))[0]
        highest = max(highest, int(heights.max()))
        steps = [
            (x, y) for x0, x1, y in zip(edges[:-1], edges[1:], heights, strict=True) for x, y in ((x0, y), (x1, y))
        ]
        marks.append(Line([(float(x), float(y)) for x, y in steps], role))
    mean = float(_known(instances.measures[measure]).mean())
    return Chart(
        f"{measure}_histogram",
        title,
        f"{len(instances):,} masks by {label}; the mean is {mean:.3f}.",
        number_axis(label, 0, 1),
        number_axis("masks", 0, highest),
        marks,
        [("first", "model"), *((role, title) for _, role, title in others)] if others else [],
    )


def calibration(instances: Instances) -> Chart:
    """Score against IoU: where the masks lie, and the mean IoU of those with about the same score."""
    score, iou = instances.measures["score"], instances.measures["iou"]
    both = ~np.isnan(score) & ~np.isnan(iou)
    score, iou = score[both], iou[both]
    counts, _, _ = np.histogram2d(score, iou, BINS, ((0, 1), (0, 1)))
    most, step = max(1.0, counts.max()), 1 / BINS
    marks: list[Mark] = [
        Bar(x * step, (x + 1) * step, y * step, (y + 1) * step, "quiet", f"{int(count):,} masks", float(strength))
        for (x, y), count in np.ndenumerate(counts)
        if (strength := 0.12 + 0.88 * (count / most) ** 0.5) > 0.12
    ]
    marks.append(Line([(0, 0), (1, 1)], "second", is_dashed=True))
    marks.append(Line(_calibration_line(score, iou), "first", has_dots=True))
    gap = float(np.abs(score - iou).mean()) if len(score) else 0.0
    return Chart(
        "calibration",
        "Score against IoU",
        f"The score is off the IoU by {gap:.3f} on average; on the diagonal it would say the IoU itself.",
        number_axis("score", 0, 1),
        number_axis("IoU", 0, 1),
        marks,
        [("first", "mean IoU at a score"), ("second", "score = IoU"), ("quiet", "masks")],
    )


def _calibration_line(score: Column, iou: Column) -> Points:
    """Means of groups of equal number, from low to high score."""
    groups = np.array_split(np.argsort(score, kind="stable"), CALIBRATION_BINS)
    return [(float(score[rows].mean()), float(iou[rows].mean())) for rows in groups if len(rows)]


def size_bars(instances: Instances) -> Chart:
    """Mean of the lead measure by the size of the box."""
    assert instances.lead
    shown = [entry for entry in METHODS if entry[0] in instances.measures] if instances.lead == "iou" else []
    shown = shown or [(instances.lead, "first", instances.lead)]
    width = 0.76 / len(shown)
    marks: list[Mark] = []
    for size, size_name in enumerate(SIZE_NAMES):
        for number, (name, role, title) in enumerate(shown):
            values = _known(instances.measures[name][instances.sizes == size])
            if len(values):
                start, mean = size - 0.38 + number * width, float(values.mean())
                tip = f"{size_name}, {title}: {mean:.3f} ({len(values):,} masks)"
                marks.append(Bar(start + 0.01, start + width - 0.01, 0, mean, role, tip))
    counts = np.bincount(instances.sizes, minlength=len(SIZE_NAMES))
    ticks = [(float(n), f"{name} ({count:,})") for n, (name, count) in enumerate(zip(SIZE_NAMES, counts, strict=True))]
    label = "mean IoU" if instances.lead == "iou" else "mean score"
    return Chart(
        "sizes",
        "By size of the box",
        f"The {label} of small (up to 32² pixels), medium (up to 96²) and large boxes.",
        Axis(-0.5, len(SIZE_NAMES) - 0.5, "size of the box (masks)", ticks),
        number_axis(label, 0, 1),
        marks,
        [(role, title) for _, role, title in shown] if len(shown) > 1 else [],
    )


def class_bars(instances: Instances) -> Chart:
    """Mean of the lead measure of the classes with most masks, best first."""
    assert instances.lead
    values = instances.measures[instances.lead]
    names = [printable(name) for name in instances.class_names]
    rows = [(name, _known(values[instances.class_numbers == n])) for n, name in enumerate(names)]
    rows = sorted((row for row in rows if len(row[1])), key=lambda row: -len(row[1]))[:CLASSES_SHOWN]
    rows.sort(key=lambda row: row[1].mean())
    marks = [
        Bar(0, float(known.mean()), number + 0.12, number + 0.88, "first", f"{name}: {known.mean():.3f}")
        for number, (name, known) in enumerate(rows)
    ]
    ticks = [(number + 0.5, f"{name[:24]} ({len(known):,})") for number, (name, known) in enumerate(rows)]
    label = "mean IoU" if instances.lead == "iou" else "mean score"
    return Chart(
        "classes",
        "By class",
        f"The {label} of the {len(rows)} classes with most masks.",
        number_axis(label, 0, 1),
        Axis(0, max(1, len(rows)), "", ticks),
        marks,
        height=70 + 17 * max(1, len(rows)),
    )


def box_noise_chart(noise: Mapping[str, Any]) -> Chart:
    """Mean IoU against the noise of the boxes, of each kind that ``box_noise.json`` has."""
    kinds: tuple[tuple[str, Role, str], ...] = (
        ("shift", "first", "moved"),
        ("scale", "third", "scaled"),
        ("both", "second", "both"),
    )
    marks: list[Mark] = [
        Line([(100 * point["level"], point["model"]) for point in noise[kind]], role, has_dots=True)
        for kind, role, _ in kinds
    ]
    marks.append(Line([(100 * point["level"], point["ellipse"]) for point in noise["both"]], "quiet", is_dashed=True))
    start, end = noise["both"][0], noise["both"][-1]
    values = [y for mark in marks if isinstance(mark, Line) for _, y in mark.points]
    return Chart(
        "box_noise",
        "Careless boxes",
        f"Mean IoU of {noise['boxes']:,} boxes falls from {start['model']:.3f} to {end['model']:.3f} when each is "
        f"moved and scaled by up to {end['level']:.0%} of its sides.",
        number_axis("noise, % of the box's sides", 0, 100 * end["level"]),
        number_axis("mean IoU", min(values), max(values)),
        marks,
        [*((role, text) for _, role, text in kinds), ("quiet", "ellipse, both")],
    )


def training_charts(curves: TrainingCurves) -> list[Chart]:
    """Losses, mIoU and learning rate, as far as they were logged."""
    groups: tuple[tuple[str, str, str, tuple[tuple[str, Role, str], ...]], ...] = (
        (
            "training_losses",
            "Training: losses",
            "loss",
            (("train/loss", "first", "sum"), ("train/mil", "second", "MIL"), ("train/crf", "third", "CRF")),
        ),
        (
            "training_target_losses",
            "Training: losses against targets",
            "loss",
            (("train/dice", "first", "dice"), ("train/bce", "second", "cross-entropy")),
        ),
        (
            "training_targets",
            "Training: targets",
            "mean over boxes",
            (
                ("train/target_fill", "first", "share of the box"),
                ("train/target_fit", "second", "box fit"),
                ("train/target_confidence", "third", "confidence"),
            ),
        ),
        (
            "training_miou",
            "Training: mIoU on validation boxes",
            "mIoU",
            (("val/mIoU", "first", "over classes"), ("val/mIoU_instances", "second", "over boxes")),
        ),
        ("training_lr", "Training: learning rate", "learning rate", (("train/lr", "first", "learning rate"),)),
    )
    charts = [_curves(curves, *group) for group in groups]
    return [chart for chart in charts if chart is not None]


def _curves(
    curves: TrainingCurves, name: str, title: str, label: str, shown: tuple[tuple[str, Role, str], ...]
) -> Chart | None:
    known = [(curves.values[key], role, text) for key, role, text in shown if key in curves.values]
    if not known:
        return None
    marks: list[Mark] = []
    for points, role, _ in known:
        smooth = smoothed(points)
        if smooth != points:
            marks.append(Line(points, role, is_faint=True))
        marks.append(Line(smooth, role, has_dots=len(points) <= 20))
    every = [point for points, _, _ in known for point in points]
    values = [value for _, value in every]
    return Chart(
        name,
        title,
        "From start to end: "
        + ", ".join(f"{text} {points[0][1]:.3g} to {points[-1][1]:.3g}" for points, _, text in known)
        + ".",
        number_axis(curves.unit, 0, max(place for place, _ in every)),
        number_axis(label, min(0, *values) if label != "mIoU" else min(values), max(values)),
        marks,
        [(role, text) for _, role, text in known] if len(known) > 1 else [],
    )


def smoothed(points: Points) -> Points:
    """A curve of many points without its jitter: the mean over a twentieth of it around each point."""
    reach = len(points) // 40
    values = np.array([value for _, value in points])
    means = [float(values[max(0, at - reach) : at + reach + 1].mean()) for at in range(len(points))]
    return [(place, mean) for (place, _), mean in zip(points, means, strict=True)]


def _known(values: Column) -> Column:
    return values[~np.isnan(values)]
