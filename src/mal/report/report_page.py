"""`report.html`: which masks to trust, in one file."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from mal import __version__
from mal.files import atomic_file, remove_drafts_of_the_dead
from mal.report.chart_model import Chart, chart_figure
from mal.report.chart_png import write_chart
from mal.report.gallery_selection import galleries
from mal.report.page import asset, render, text
from mal.report.page_data import make_thumbnails, page_data, script_json
from mal.report.report_charts import box_noise_chart, calibration, class_bars, histogram, size_bars, training_charts
from mal.report.report_data import MEASURES, Column, Instances, ReportData, Tile

SHOWN = ("ellipse_iou", "box_iou", "boundary_iou", "score")  # beside the lead measure, as far as they are known


def class_table(instances: Instances) -> str:
    """The table as HTML, the class with most masks first; empty where no mask has a measure."""
    if instances.lead is None:
        return ""
    others = [name for name in SHOWN if name in instances.measures and name != instances.lead]
    counts = np.bincount(instances.class_numbers, minlength=len(instances.class_names))
    order = sorted(range(len(counts)), key=lambda number: (-counts[number], instances.class_names[number]))
    lead_name = f"mean {MEASURES[instances.lead]}"
    heads = ["class", "masks", lead_name, *(MEASURES[name] for name in others), "below 0.5"]
    return render(
        "class_table.html",
        heads="".join(f'<th scope="col">{text(head)}</th>' for head in heads),
        rows="\n".join(_row(instances, number, int(counts[number]), others) for number in order),
        note=text(f"{len(order)} classes, those with most masks first. The mark in a bar is the ellipse in the box.")
        if "ellipse_iou" in others
        else text(f"{len(order)} classes, those with most masks first."),
    )


def _row(instances: Instances, number: int, count: int, others: list[str]) -> str:
    assert instances.lead
    rows = instances.class_numbers == number
    means = {name: _mean(instances.measures[name][rows]) for name in (instances.lead, *others)}
    low = float((instances.measures[instances.lead][rows] < 0.5).mean())
    cells = [f'<td class="number">{count:,}</td>', _bar_cell(means[instances.lead], means.get("ellipse_iou"))]
    cells += [f'<td class="number">{_number(means[name])}</td>' for name in others]
    cells.append(f'<td class="number">{low:.0%}</td>')
    name = text(instances.class_names[number])
    button = f'<button type="button" data-class="{number}" title="Show the pictures of this class">{name}</button>'
    return f'<tr><th scope="row">{button}</th>{"".join(cells)}</tr>'


def _bar_cell(mean: float | None, ellipse: float | None) -> str:
    if mean is None:
        return "<td>–</td>"
    mark = "" if ellipse is None else f'<i style="left:{100 * ellipse:.1f}%"></i>'
    bar = f'<span class="meter"><b style="width:{100 * mean:.1f}%"></b>{mark}</span>'
    return f'<td class="meter-cell"><span class="value">{mean:.3f}</span>{bar}</td>'


def _mean(values: Column) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


PICTURES = 400  # in the page; some 15 kB each

_SCRIPTS = ("report_data", "picture", "filters", "gallery", "viewer", "index_table", "keys")


@dataclass(frozen=True, slots=True)
class WrittenReport:
    """What was written.

    Attributes:
        html: the page.
        figures: the charts as PNG.
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
    """Write the page, and its charts as PNG into the folder `<its name>_figures` beside it.

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
    classes = class_table(instances)
    page = render(
        "report_page.html",
        style=asset("report.css") + asset("report_page.css"),
        head_script=asset("theme.js"),
        script="\n".join(asset(f"{name}.js") for name in _SCRIPTS),
        data=script_json(page_data(instances, chosen, thumbnails)),
        eyebrow=text(findings.eyebrow),
        title=text(findings.title),
        story=text(findings.story),
        facts="\n".join(_fact(name, value) for name, value in findings.facts),
        tiles="\n".join(map(_tile, findings.tiles)),
        charts=render("report_charts.html", charts="\n".join(map(chart_figure, charts))) if charts else "",
        classes=classes,
        links=_links(bool(charts), bool(classes)),
        footer=text(f"Written by mal {__version__} on {datetime.now():%Y-%m-%d %H:%M}. This file needs no network."),
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
    remove_drafts_of_the_dead(folder)
    paths = []
    for chart in _all_charts(findings, charts):
        paths.append(folder / f"{chart.name}.png")
        if not (only_missing and paths[-1].exists()):
            write_chart(chart, paths[-1])
    return paths


def _all_charts(findings: ReportData, charts: list[Chart]) -> list[Chart]:
    return [*charts, class_bars(findings.instances)] if findings.instances.lead else charts


def _tile(tile: Tile) -> str:
    bars = [_bar("compare own", tile.value, ""), *(_bar("compare", value, name) for name, value in tile.others)]
    low_high = f"95 %: {tile.interval[0]:.3f} – {tile.interval[1]:.3f}" if tile.interval else ""
    return render(
        "tile.html",
        name=text(tile.name),
        score=f"{tile.value:.3f}",
        interval=low_high,
        others="\n".join(bars),
        note=text(tile.note),
    )


def _bar(kind: str, value: float, name: str) -> str:
    words = f"<span>{text(name)} {value:.3f}</span>" if name else ""
    return f'<div class="{kind}"><span class="bar"><span style="width:{100 * value:.1f}%"></span></span>{words}</div>'


def _fact(name: str, value: str) -> str:
    return f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>"


def _links(has_charts: bool, has_classes: bool) -> str:
    links = [("summary", "Summary"), ("gallery", "Pictures"), ("index", "All masks")]
    if has_classes:
        links.insert(1, ("classes", "Classes"))
    if has_charts:
        links.insert(1, ("charts", "Charts"))
    return "".join(f'<a href="#{name}">{title}</a>' for name, title in links)
