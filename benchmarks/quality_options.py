"""Options that the commands which train for docs/quality.md have in common."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks.photos_with_boxes import SHARED
from benchmarks.quality_training import ROOT

DOCUMENT = ROOT / "docs" / "quality.md"


def quality_parser(name: str, description: str | None, sets: Sequence[str], *, quick: str) -> argparse.ArgumentParser:
    """A parser with the options that all of them have.

    Args:
        name: of the module in `benchmarks`; results lie in a folder of its name.
        description: of the command.
        sets: what is measured by default.
        quick: help of ``--quick``.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--data", type=Path, default=SHARED / "data", help="folder of the sets (default: that of MAL_SHARED)")
    add("--out", type=Path, help=f"folder of cells and runs (default: benchmarks/results/{name})")
    add("--sets", nargs="+", default=sets, metavar="SET", help=f"folders of --data (default: {' '.join(sets)})")
    add("--quick", action="store_true", help=quick)
    add("--table", action="store_true", help="measure nothing; write the table into --document")
    add("--document", type=Path, default=DOCUMENT, help="page with the table (default: docs/quality.md)")
    return parser


def results_folder(options: argparse.Namespace, name: str) -> Path:
    """Where cells and runs lie; those of quick trials lie elsewhere."""
    folder = options.out or ROOT / "benchmarks" / "results" / (f"{name}-quick" if options.quick else name)
    return Path(folder).resolve()
