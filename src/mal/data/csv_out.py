"""Write tables that spreadsheets and scripts take."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mal.files import atomic_file


def write_csv(header: Sequence[str], rows: Iterable[Sequence[Any]], path: Path) -> None:
    """Write a table as UTF-8 with a heading, whole or not at all; fractions have six digits, None is empty.

    Raises:
        UserError: the file cannot be written.
    """
    with atomic_file(path) as file:
        # File names may hold what is no Unicode.
        text = io.TextIOWrapper(file, encoding="utf-8", errors="backslashreplace", newline="")
        table = csv.writer(text, lineterminator="\n")
        table.writerow(header)
        table.writerows([_cell(value) for value in row] for row in rows)
        text.detach()  # leaves the file open, for the one that opened it


def _cell(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value
