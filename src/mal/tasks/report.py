"""`mal report`: read the results of a task, write the page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mal.console import console
from mal.errors import UserError
from mal.reading import AS_STORED, Reading
from mal.report.chart_files import png_is_possible
from mal.report.evaluation_results import read_evaluation
from mal.report.label_results import read_labels
from mal.report.report_data import ReportData
from mal.report.report_page import PICTURES, write_report
from mal.report.review_queue import REVIEW, review_rows, write_review_queue

PAGE = "report.html"
PROBLEMS_SHOWN = 5


def of_evaluation(
    folder: Path,
    *,
    out: Path | None = None,
    ann: Path | None = None,
    images: Path | None = None,
    train: Path | None = None,
    pictures: int = PICTURES,
) -> int:
    """Write the report of an evaluation.

    Args:
        folder: results folder of `mal evaluate`.
        out: the page; None means `report.html` in that folder.
        ann, images: the evaluated file and its images, if they were moved.
        train: results folder of the training; None looks beside the checkpoint.
        pictures: number of masks shown as images.

    Returns:
        Exit code 0.

    Raises:
        UserError: the folder holds no evaluation, or the page cannot be written.
    """
    data = read_evaluation(folder, ann=ann, images=images, train=train)
    _write(data, out or folder / PAGE, pictures)
    return 0


def of_labels(
    ann: Path,
    images: Path,
    *,
    out: Path | None = None,
    pictures: int = PICTURES,
    review: int = REVIEW,
    only_missing: bool = False,
    reading: Reading = AS_STORED,
) -> int:
    """Write the report of a label file, and the review queue as a table and as a COCO file.

    Args:
        ann: the label file.
        images: folder of its images.
        out: the page; None means `<name>_report.html` beside the label file.
        pictures: number of masks shown as images.
        review: length of the review queue; 0 writes none.
        only_missing: whether to keep existing files.
        reading: how images are read; the file itself may say that boxes and masks refer to turned images.

    Returns:
        Exit code 0.

    Raises:
        UserError: the file holds no masks, or the page cannot be written.
    """
    data, coco = read_labels(ann, images, reading)
    page = out or ann.with_name(f"{ann.stem}_{PAGE}")
    _write(data, page, pictures, only_missing=only_missing)
    rows = review_rows(data.instances, review)
    if rows:
        table, subset = write_review_queue(coco, data.instances, rows, page.parent, only_missing=only_missing)
        console.print(f"to look at first: {len(rows):,} masks in {table} and {subset}")
    elif review:
        console.print("no mask has a score or a mark, so there is no review queue")
    return 0


def after_a_run(write: Callable[[], int]) -> None:
    """Write a report as the last step of a task; a failure is reported and leaves the task's results valid."""
    try:
        write()
    except UserError as error:
        console.print(f"no report page: {error}")


def _write(data: ReportData, page: Path, pictures: int, *, only_missing: bool = False) -> None:
    written = write_report(data, page, pictures=pictures, only_missing=only_missing)
    if written is None:
        return
    for problem in written.problems[:PROBLEMS_SHOWN]:
        console.print(f"  no picture: {problem}")
    if len(written.problems) > PROBLEMS_SHOWN:
        console.print(f"  ... and {len(written.problems) - PROBLEMS_SHOWN} more images without a picture")
    size = page.stat().st_size / 1e6
    console.print(
        f"report page: {page} ({len(data.instances):,} masks, {written.num_pictures} as pictures, {size:.1f} MB)",
        soft_wrap=True,
    )
    if written.figures and not png_is_possible():
        console.print(
            f"charts: {written.figures[0].parent} (SVG; for PNG too: pip install 'mask-auto-labeler[charts]')",
            soft_wrap=True,
        )
