"""Generate the tables of docs/evaluation.md from the declared keys and columns.

``python -m mal.metrics.results_docs docs/evaluation.md`` rewrites the end of the page.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path

from mal.metrics.box_noise import BoxNoise, NoiseFigures
from mal.metrics.instance_file import CLASS_COLUMNS, InstanceRow
from mal.metrics.results import (
    ClassFigures,
    Clustering,
    DifferenceFigures,
    Differences,
    EvaluationFigures,
    Figures,
    Intervals,
    MethodFigures,
    SizeFigures,
)

HEADING = "## Every key and column\n"

_METRICS: dict[str, type[Figures]] = {
    "`metrics.json`": EvaluationFigures,
    "`model`, `box`, `ellipse`": MethodFigures,
    "`intervals` of a method": Intervals,
    "an entry of `by_class`": ClassFigures,
    "an entry of `by_mask_area`": SizeFigures,
    "`model_minus_box`, `model_minus_ellipse`": Differences,
    "an entry of these": DifferenceFigures,
    "`clustering`": Clustering,
    "`box_noise.json`": BoxNoise,
    "an entry of its curves": NoiseFigures,
}


def results_tables() -> str:
    """The end of the page, from its heading on."""
    parts = [HEADING]
    for title, group in _METRICS.items():
        parts += [
            f"### {title[0].upper()}{title[1:]}\n",
            f"{(group.__doc__ or '').strip()}\n",
            _markdown_table("Key", group.rows()),
        ]
    columns = [(column.name, column.metadata["description"]) for column in fields(InstanceRow)]
    parts += ["### `instances.csv`\n", "A row for each evaluated box, in the order of the file.\n"]
    parts += [_markdown_table("Column", columns)]
    parts += ["### `classes.csv`\n", "A row for each class, the one with most boxes first.\n"]
    parts += [_markdown_table("Column", CLASS_COLUMNS.items())]
    return "\n".join(parts)


def write_tables(page: Path) -> None:
    """Replace the page from the heading on."""
    text = page.read_text(encoding="utf-8").split(HEADING)[0]
    page.write_text(text + results_tables(), encoding="utf-8")


def _markdown_table(first: str, rows: Iterable[tuple[str, str]]) -> str:
    lines = [f"| {first} | Meaning |", "|---|---|", *(f"| `{name}` | {meaning} |" for name, meaning in rows)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    write_tables(Path(sys.argv[1]))
