"""The table of classes: how many masks each has, and how good they are."""

from __future__ import annotations

import numpy as np

from mal.report.instances import MEASURES, Column, Instances
from mal.report.page import render, text

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
