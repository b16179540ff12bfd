"""The review queue: masks to look at first, as CSV and COCO."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mal.coco.coco_file import CocoFile, show
from mal.data.picture_remarks import MARK
from mal.files import without_non_finite, write_csv, write_json
from mal.report.report_data import Instances

REVIEW = 200
COLUMNS = (
    "rank",
    "annotation_index",
    "annotation_id",
    "image_id",
    "file_name",
    "category",
    "x",
    "y",
    "w",
    "h",
    "score",
    "reason",
)


def review_rows(instances: Instances, size: int) -> list[int]:
    """Rows to look at, most urgent first: the marked ones, then the others; by score, those without one last.

    Where no mask has a score or a mark nothing says what to look at, and the queue is empty.
    """
    if "score" not in instances.measures:
        return sorted(instances.marks)[:size]
    score = instances.measures["score"]
    is_marked = np.zeros(len(instances), np.bool_)
    is_marked[list(instances.marks)] = True
    return urgency_order(score, is_marked, instances.positions)[:size].tolist()


def urgency_order(
    score: npt.NDArray[np.float64], is_marked: npt.NDArray[np.bool_], positions: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Rows of masks, most urgent first: the marked ones, then the others; by score, those without one last.

    Args:
        score: (N,) in 0..1; NaN where there is none.
        is_marked: (N,) whether it is marked doubtful.
        positions: (N,) in the file, which decide among equals.
    """
    return np.lexsort((positions, np.nan_to_num(score, nan=2.0), ~is_marked))


def write_review_queue(
    coco: CocoFile, instances: Instances, rows: Sequence[int], folder: Path, *, only_missing: bool = False
) -> tuple[Path, Path]:
    """Write `review_queue.csv` and `review_queue.json`.

    The JSON file holds the chosen annotations as the label file has them, most urgent first, and only their images.

    Args:
        coco: the label file.
        instances: its masks.
        rows: of `instances`, most urgent first.
        folder: where the files go.
        only_missing: whether a file that is there stays as it is.

    Returns:
        Paths of the table and of the COCO file.

    Raises:
        UserError: a file cannot be written.
    """
    table, subset = folder / "review_queue.csv", folder / "review_queue.json"
    if not (only_missing and table.exists()):
        write_csv(COLUMNS, (_record(instances, rank, row) for rank, row in enumerate(rows, start=1)), table)
    if not (only_missing and subset.exists()):
        write_json(_subset(coco, instances, rows), subset)
    return table, subset


def _record(instances: Instances, rank: int, row: int) -> list[Any]:
    image = instances.image(row)
    score = float(instances.measures["score"][row]) if "score" in instances.measures else float("nan")
    return [
        rank,
        int(instances.positions[row]),
        show(instances.annotation_ids[row]),
        show(image.id),
        image.file_name,
        instances.class_name(row),
        *instances.xywh[row].tolist(),
        None if np.isnan(score) else score,
        instances.marks.get(row, "low score"),
    ]


def _subset(coco: CocoFile, instances: Instances, rows: Sequence[int]) -> dict[str, Any]:
    """Top-level keys of the file other than its lists of records stay as they are."""
    images = sorted({instances.image(row).position for row in rows})
    chosen = {
        "images": [coco.document["images"][position] for position in images],
        "annotations": [coco.annotations[int(instances.positions[row])] for row in rows],
    }
    others = ("info", "licenses", "categories", MARK)
    kept = {key: _plain(coco.document[key]) for key in others if key in coco.document}
    return without_non_finite({**kept, **chosen})[0]


def _plain(value: Any) -> Any:
    is_records = not isinstance(value, (dict, list, str)) and hasattr(value, "__iter__")
    return list(itertools.chain(value)) if is_records else value
