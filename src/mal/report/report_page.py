"""`report.html`: which masks to trust, in one file."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from mal import __version__
from mal.files import atomic_file, remove_stale_temp_files
from mal.report.chart_files import write_chart
from mal.report.chart_model import Chart
from mal.report.gallery_selection import galleries
from mal.report.page import render
from mal.report.page_data import make_thumbnails, page_data, script_json
from mal.report.report_charts import box_noise_chart, calibration, class_bars, histogram, size_bars, training_charts
from mal.report.report_data import MEASURES, Column, Instances, ReportData

SHOWN = ("ellipse_iou", "box_iou", "boundary_iou", "score")  # beside the lead measure, as far as they are known


@dataclass(frozen=True, slots=True)
class ClassRow:
    """A class in numbers; a mean is None where no mask has the measure.

    Attributes:
        number: of the class, as in `Instances.class_numbers`.
        name: of the class.
        num_masks: how many masks it has.
        lead: mean of the lead measure.
        ellipse: mean IoU of the ellipses.
        others: means of the other measures that are shown.
        share_below_half: share of masks whose lead measure is below 0.5.
    """

    number: int
    name: str
    num_masks: int
    lead: float | None
    ellipse: float | None
    others: list[float | None]
    share_below_half: float


@dataclass(frozen=True, slots=True)
class ClassTable:
    """The table of classes: column heads, rows, and whether the rows know the ellipse."""

    heads: list[str]
    rows: list[ClassRow]
    has_ellipse: bool


def class_table(instances: Instances) -> ClassTable | None:
    """The table of classes, the class with most masks first; None where no mask has a measure."""
    if instances.lead is None:
        return None
    others = [name for name in SHOWN if name in instances.measures and name != instances.lead]
    lead_name = f"mean {MEASURES[instances.lead]}"
    rows = [_class_row(instances, number, others) for number in range(len(instances.class_names))]
    return ClassTable(
        heads=["class", "masks", lead_name, *(MEASURES[name] for name in others), "below 0.5"],
        rows=sorted(rows, key=lambda row: (-row.num_masks, row.name)),
        has_ellipse="ellipse_iou" in others,
    )


def _class_row(instances: Instances, number: int, others: list[str]) -> ClassRow:
    assert instances.lead
    rows = instances.class_numbers == number
    means = {name: _mean(instances.measures[name][rows]) for name in (instances.lead, *others)}
    return ClassRow(
        number=number,
        name=instances.class_names[number],
        num_masks=int(rows.sum()),
        lead=means[instances.lead],
        ellipse=means.get("ellipse_iou"),
        others=[means[name] for name in others],
        share_below_half=float((instances.measures[instances.lead][rows] < 0.5).mean()),
    )


def _mean(values: Column) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


PICTURES = 400  # in the page; some 15 kB each


@dataclass(frozen=True, slots=True)
class WrittenReport:
    """What was written.

    Attributes:
        html: the page.
        figures: the charts as SVG, and as PNG where that is possible.
        num_pictures: masks that the page shows as pictures.
        problems: images that could not be read, one line each.
    """

    html: Path
    figures: list[Path]
    num_pictures: int
    problems: list[str]


def write_report(
    findings: ReportData, path: Path, *, pictures: int = PICTURES, only_missing: bool = False
) -> WrittenReport | None:
    """Write the page, and its charts as files into the folder `<its name>_figures` beside it.

    Args:
        findings: what is known of the masks.
        path: of the page.
        pictures: how many masks are shown as pictures, at most.
        only_missing: whether a file that is there stays as it is.

    Returns:
        What was written; None where the page was there and stayed.

    Raises:
        UserError: a file cannot be written.
    """
    charts = _charts(findings)
    written = None
    if not (only_missing and path.exists()):
        written = _write_page(findings, charts, path, pictures)
    paths = _write_figures(findings, charts, path.with_name(f"{path.stem}_figures"), only_missing=only_missing)
    return WrittenReport(path, paths, *written) if written else None


def _write_page(findings: ReportData, charts: list[Chart], path: Path, pictures: int) -> tuple[int, list[str]]:
    instances = findings.instances
    chosen = galleries(instances, pictures)
    rows = [row for shown in chosen.values() for row in shown]
    thumbnails, problems = make_thumbnails(instances, rows, findings.img_dir, findings.masks)
    page = render(
        "report_page.html",
        title=findings.title,
        findings=findings,
        charts=charts,
        classes=class_table(instances),
        data=script_json(page_data(instances, chosen, thumbnails)),
        footer=f"Written by mal {__version__} on {datetime.now():%Y-%m-%d %H:%M}. This file needs no network.",
    )
    with atomic_file(path) as file:
        file.write(page.encode("utf-8", "replace"))
    return len(thumbnails), problems


def _charts(findings: ReportData) -> list[Chart]:
    instances = findings.instances
    charts = []
    if "iou" in instances.measures:
        charts.append(histogram(instances, "iou", title="How many masks reach which IoU", label="IoU"))
    if "score" in instances.measures:
        both = "iou" in instances.measures
        charts.append(
            calibration(instances)
            if both
            else histogram(instances, "score", title="How the scores spread", label="score")
        )
    if instances.lead:
        charts.append(size_bars(instances))
    if findings.box_noise:
        charts.append(box_noise_chart(findings.box_noise))
    return charts + (training_charts(findings.curves) if findings.curves else [])


def _write_figures(findings: ReportData, charts: list[Chart], folder: Path, *, only_missing: bool) -> list[Path]:
    remove_stale_temp_files(folder)
    written = [write_chart(chart, folder, only_missing=only_missing) for chart in _all_charts(findings, charts)]
    return [path for paths in written for path in paths]


def _all_charts(findings: ReportData, charts: list[Chart]) -> list[Chart]:
    return [*charts, class_bars(findings.instances)] if findings.instances.lead else charts
