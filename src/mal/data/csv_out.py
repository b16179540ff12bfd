"""Write tables that spreadsheets and scripts take.

Spreadsheets run a text that begins as a formula does, and names come from anywhere. An apostrophe in front, the
spreadsheets' own mark of a text, keeps such a text a text; `text_of_cell` takes it away again.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TextIO

from mal.files import atomic_file

# After apostrophes of its own too, so that taking one away gives back every text.
_FORMULA = re.compile(r"'*[=+\-@\t\r\n\uff0b\uff0d\uff1d\uff20]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def write_csv(header: Sequence[str], rows: Iterable[Sequence[Any]], path: Path) -> None:
    """Write a table as UTF-8 with a heading, whole or not at all; fractions have six digits, None is empty.

    An apostrophe stands before a text that a spreadsheet would take for a formula; numbers stay as they are.

    Raises:
        UserError: the file cannot be written.
    """
    with atomic_file(path) as file:
        # File names may hold what is no Unicode.
        text = io.TextIOWrapper(file, encoding="utf-8", errors="backslashreplace", newline="")
        table = csv.writer(_Lines(text))
        table.writerow(header)
        table.writerows([_cell(value) for value in row] for row in rows)
        text.detach()  # leaves the file open, for the one that opened it


class _Lines:
    """Ends lines with "\\n" that a `csv.writer` ends with "\\r\\n", without which it would not quote a "\\r"."""

    def __init__(self, text: TextIO) -> None:
        self._text = text

    def write(self, line: str) -> None:
        self._text.write(line.removesuffix("\r\n") + "\n")


def text_of_cell(cell: str) -> str:
    """The text that `write_csv` was given for a cell."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.6g}"
    is_formula = isinstance(value, str) and _FORMULA.match(value) and not _NUMBER.fullmatch(value)
    return f"'{value}" if is_formula else value
