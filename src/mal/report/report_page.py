"""`report.html`: one file that shows which masks to trust, with its figures as pictures beside it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from mal import __version__
from mal.files import atomic_file, remove_drafts_of_the_dead
from mal.report.chart import Chart
from mal.report.chart_png import write_chart
from mal.report.chart_svg import chart_figure
from mal.report.charts import box_noise_chart, calibration, class_bars, histogram, size_bars, training_charts
from mal.report.choice import galleries
from mal.report.class_table import class_table
from mal.report.findings import Findings, Tile
from mal.report.page import asset, render, text
from mal.report.page_data import page_data, script_json
from mal.report.thumbnails import make_thumbnails

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
    findings: Findings, path: Path, *, pictures: int = PICTURES, only_missing: bool = False
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


def _write_page(findings: Findings, charts: list[Chart], path: Path, pictures: int) -> tuple[int, list[str]]:
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


def _charts(findings: Findings) -> list[Chart]:
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


def _write_figures(findings: Findings, charts: list[Chart], folder: Path, *, only_missing: bool) -> list[Path]:
    remove_drafts_of_the_dead(folder)
    paths = []
    for chart in _all_charts(findings, charts):
        paths.append(folder / f"{chart.name}.png")
        if not (only_missing and paths[-1].exists()):
            write_chart(chart, paths[-1])
    return paths


def _all_charts(findings: Findings, charts: list[Chart]) -> list[Chart]:
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
