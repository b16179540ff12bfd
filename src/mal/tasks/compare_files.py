"""Files of a comparison: `compare.json`, `classes.csv`, pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mal.data.images import read_record_image
from mal.data.loaders import AnnotatedImages
from mal.errors import UserError
from mal.files import write_csv
from mal.masks.rle import Rle, rle_from_segmentation
from mal.metrics.comparison import ComparedFigure, Comparison, Difference
from mal.metrics.matched_boxes import MatchedBoxes
from mal.paths import to_path
from mal.report.compare_page import ComparedBox
from mal.report.mask_crop import crop_masks
from mal.tasks.compare_sources import MeasuredRun


def compared_boxes(
    runs: Sequence[MeasuredRun], matched: MatchedBoxes, rows: Sequence[int]
) -> tuple[dict[int, ComparedBox], list[str]]:
    """Collect matched boxes for the page; images and true masks are from the first run.

    Args:
        runs: the compared runs.
        matched: their common boxes.
        rows: rows of the boxes to show.

    Returns:
        Boxes by row, and the reasons for missing images.
    """
    try:
        source = _source(runs[0])
        masks = _masks(runs, matched, rows)
    except UserError as error:
        return {}, [f"pictures: {error}"]
    by_image: dict[str, list[int]] = {}
    for row in rows:
        by_image.setdefault(runs[0].instances[matched.rows[row, 0]].file_name, []).append(row)
    boxes: dict[int, ComparedBox] = {}
    problems: list[str] = []
    for wanted in by_image.values():
        try:
            boxes |= _of_image(runs, matched, wanted, source, masks)
        except UserError as error:
            problems.append(str(error))
    return boxes, problems


def _source(run: MeasuredRun) -> AnnotatedImages:
    if not run.truth or not run.images:
        raise UserError(f"nobody knows where the pictures of {run.name} are; give --truth and --images")
    if not to_path(run.images).is_dir():
        raise UserError(f"{run.images}: no such folder; give the pictures of {run.name} with --images")
    return AnnotatedImages(run.truth, run.images, reading=run.reading)


def _masks(runs: Sequence[MeasuredRun], matched: MatchedBoxes, rows: Sequence[int]) -> list[dict[int, Rle]]:
    """The masks of each run, by row."""
    found = []
    for number, run in enumerate(runs):
        positions = {row: run.instances[matched.rows[row, number]].annotation_index for row in rows}
        masks = run.masks(positions.values())
        found.append({row: masks[position] for row, position in positions.items() if position in masks})
    return found


def _of_image(
    runs: Sequence[MeasuredRun],
    matched: MatchedBoxes,
    rows: Sequence[int],
    source: AnnotatedImages,
    masks: Sequence[dict[int, Rle]],
) -> dict[int, ComparedBox]:
    """Build the boxes of one image, which is decoded once."""
    coco = source.coco
    positions = {row: runs[0].instances[matched.rows[row, 0]].annotation_index for row in rows}
    if max(positions.values()) >= len(coco.table):
        raise UserError(f"{coco.path}: holds fewer annotations than {runs[0].name} has; is it the right --truth?")
    image = coco.images.at(int(coco.table.image_rows[positions[rows[0]]]))
    picture = read_record_image(source.img_dir, image)
    found = {}
    for row in rows:
        boxes = [run.instances[each] for run, each in zip(runs, matched.rows[row].tolist(), strict=True)]
        try:
            truth = rle_from_segmentation(coco.annotations[positions[row]]["segmentation"], image.height, image.width)
        except (KeyError, ValueError) as error:
            raise UserError(
                f"{coco.path}: annotation {boxes[0].annotation_id} has no readable mask ({error})"
            ) from error
        first = boxes[0]
        found[row] = ComparedBox(
            title=f"{first.category}, {first.size}",
            where=f"{first.file_name}, annotation {first.annotation_id}, box {first.w:.0f} x {first.h:.0f} pixels",
            ious=tuple(box.iou for box in boxes),
            crop=crop_masks(picture, (first.x, first.y, first.w, first.h), truth, [each.get(row) for each in masks]),
        )
    return found


CLASS_COLUMNS = {
    "category": "name of the class",
    "boxes": "number of its boxes that all runs have",
    "images": "number of images that hold them",
    "run": "name of the run; each class has a row for each run",
    "miou": "mean IoU of the run over these boxes",
    "difference": "`miou` less that of the first run; empty in the first run's own row, as the rest",
    "low": "lower end of the difference's 95 % interval; empty of a class in fewer than 10 images",
    "high": "upper end",
    "certainty": "how sure it is that the difference is not zero, 0..1",
    "verdict": "`better`, `worse`, `same` or `unclear`",
}
"""Columns of ``classes.csv`` and their meaning."""


def comparison_json(
    comparison: Comparison,
    runs: Sequence[MeasuredRun],
    matched: MatchedBoxes,
    classes: Sequence[str],
    remarks: Sequence[str],
    changes: Sequence[tuple[list[int], list[int]]],
) -> dict[str, Any]:
    """The comparison as plain JSON values.

    Args:
        comparison: the metrics.
        runs: the compared runs.
        matched: rows of the runs that are the same box.
        classes: class names by class number.
        remarks: differences between the runs' inputs.
        changes: for each run but the first, the rows with the largest gains and losses.
    """
    names = [run.name for run in runs]
    return {
        "runs": [
            {
                "name": run.name,
                "path": str(run.path),
                "truth": run.truth,
                "settings": run.settings,
                "boxes": len(run.instances),
                "left_out": len(run.instances) - len(matched.rows),
            }
            for run in runs
        ],
        "boxes": comparison.boxes,
        "images": comparison.images,
        "remarks": list(remarks),
        "figures": {key: _figure(figure, names) for key, figure in comparison.figures.items()},
        "changes": {
            name: {"higher": each.higher, "lower": each.lower, "equal": each.equal}
            for name, each in zip(names[1:], comparison.changes, strict=True)
        },
        "classes": {classes[number]: _figure(figure, names) for number, figure in comparison.classes.items()},
        "largest": {
            name: {"gains": _boxes(runs, matched, higher), "losses": _boxes(runs, matched, lower)}
            for name, (higher, lower) in zip(names[1:], changes, strict=True)
        },
    }


def write_class_rows(comparison: Comparison, names: Sequence[str], classes: Sequence[str], path: Path) -> None:
    """Write ``classes.csv``, the class with most boxes first.

    Raises:
        UserError: the file cannot be written.
    """
    write_csv(list(CLASS_COLUMNS), _class_rows(comparison, names, classes), path)


def _class_rows(comparison: Comparison, names: Sequence[str], classes: Sequence[str]) -> Iterator[list[Any]]:
    for number, figure in sorted(comparison.classes.items(), key=lambda item: -item[1].boxes):
        about = (classes[number], figure.boxes, figure.images)
        for name, value, difference in zip(names, figure.values, (None, *figure.differences), strict=True):
            yield [*about, name, value, *_cells(difference)]


def _cells(difference: Difference | None) -> list[Any]:
    if difference is None:
        return [None] * 5
    return [difference.mean, *(difference.interval or (None, None)), difference.certainty, difference.verdict]


def _figure(figure: ComparedFigure, names: Sequence[str]) -> dict[str, Any]:
    return {
        "boxes": figure.boxes,
        "images": figure.images,
        "values": dict(zip(names, figure.values, strict=True)),
        "differences": {
            name: {
                "mean": each.mean,
                "interval": list(each.interval) if each.interval else None,
                "certainty": each.certainty,
                "verdict": each.verdict,
            }
            for name, each in zip(names[1:], figure.differences, strict=True)
        },
    }


def _boxes(runs: Sequence[MeasuredRun], matched: MatchedBoxes, rows: Sequence[int]) -> list[dict[str, Any]]:
    found = []
    for row in rows:
        boxes = [run.instances[place] for run, place in zip(runs, matched.rows[row].tolist(), strict=True)]
        found.append(
            {
                "file_name": boxes[0].file_name,
                "annotation_id": boxes[0].annotation_id,
                "annotation_index": boxes[0].annotation_index,
                "category": boxes[0].category,
                "iou": {run.name: box.iou for run, box in zip(runs, boxes, strict=True)},
            }
        )
    return found
