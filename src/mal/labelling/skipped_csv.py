"""The records that are not plainly labelled as a table for people: one line each, for a spreadsheet or a script."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mal.data.coco import show
from mal.data.csv_out import write_csv

COLUMNS = ("annotation_index", "annotation_id", "image_id", "file_name", "action", "reason", "done")


def write_skipped_csv(records: Iterable[Mapping[str, Any]], path: Path) -> None:
    """Write the table, whole or not at all, as UTF-8 with a heading; without records it has the heading only.

    Args:
        records: those of `mal.labelling.label_report.label_report`.
        path: the file to write.

    Raises:
        UserError: the file cannot be written.
    """
    write_csv(COLUMNS, ([_cell(record[name]) for name in COLUMNS] for record in records), path)


def _cell(value: Any) -> Any:
    """Ids may be of any JSON type; texts and whole numbers stand as they are."""
    return show(value) if isinstance(value, (dict, list, bool, float)) else value
