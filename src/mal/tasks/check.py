"""`mal check`: what a run would do with its input, without a network."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mal.coco.boxes import Boxes, box_suspicion, broken_size_rules, select_boxes
from mal.coco.coco_file import CocoFile, category_name, read_coco
from mal.coco.ground_truth import GroundTruth, reasons
from mal.coco.notes import RecordNote
from mal.coco.statistics import NO_CLASS
from mal.console import console, task_progress
from mal.data.image_headers import ImageIssue, check_images
from mal.data.images import fill_missing_sizes
from mal.data.picture_remarks import choose_reading
from mal.errors import UserError
from mal.files import write_json
from mal.formats.source import SourceRequest, open_source, temporary_cache
from mal.labeling.report import label_report
from mal.labeling.resolve import has_mask_to_keep, notes_beside_kept
from mal.labeling.shards import Positions
from mal.paths import to_path
from mal.reading import AS_STORED, Reading
from mal.size_bins import BIN_ENDS, SIZE_NAMES
from mal.tasks.check_tables import advice_lines, file_tables
from mal.tasks.sources import Use


@dataclass(frozen=True, slots=True)
class CheckSource:
    """An annotation file with its images.

    Attributes:
        annotations: path or URL of the COCO file, or path of annotations in another format.
        images: path or URL of the folder; None where annotations in another format say where their pictures are.
        uses: the tasks that would read it.
        keep_existing_masks: whether labeling keeps existing masks.
        reading: how images are read, which decides the frame of boxes and masks.
        training_sizes: ``dataset.min_obj_size`` and ``max_obj_size`` in square pixels, for training files.
        format: of the annotations; None recognizes it.
        split: the part to read of a data set that has parts; None reads all.
    """

    annotations: str
    images: str | None
    uses: tuple[Use, ...]
    keep_existing_masks: bool = False
    reading: Reading = AS_STORED
    training_sizes: tuple[float, float] | None = None
    format: str | None = None
    split: str | None = None


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """Options of ``mal check``.

    Attributes:
        sources: files to check.
        deep: decode images and masks.
        as_json: print JSON instead of tables.
        out: file for the JSON.
        limit: annotations or images to name for each kind of issue.
    """

    sources: tuple[CheckSource, ...]
    deep: bool = False
    as_json: bool = False
    out: Path | None = None
    limit: int = 5


_Looked = tuple[int, list[ImageIssue]]


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """The results for an annotation file and its images.

    Attributes:
        source: the checked file, with the folder of its images.
        coco: the parsed file.
        boxes: boxes that would be labeled, including those of unreadable images.
        notes: notes of a run on the records, without those of ``coco`` itself.
        truth: notes on the masks of ``boxes``; None if they were not checked.
        report: the content of ``inference_report.json`` if the network labels every box.
        issues: images with remarks or faults.
        conversion: what the conversion of another format has to tell.
    """

    source: CheckSource
    coco: CocoFile
    boxes: Boxes
    notes: list[RecordNote]
    truth: GroundTruth | None
    report: dict[str, Any]
    issues: list[ImageIssue]
    conversion: Sequence[str] = ()


def run(options: CheckOptions) -> int:
    """Check the files and print the results.

    Returns:
        Exit code: 0 if every annotation would be labeled or copied, else 1.

    Raises:
        UserError: a file cannot be read at all; the others are checked first.
    """
    results, refusals = [], []
    for source in options.sources:
        try:
            results.append(summary(check_source(source, deep=options.deep, show_progress=not options.as_json)))
        except UserError as error:
            refusals.append(str(error))
            results.append({"annotations": source.annotations, "images": source.images, "refused": str(error)})
        else:
            if not options.as_json:
                _show(results[-1], options)
    ok = all(result.get("ok", False) for result in results)
    document = {"ok": ok, "deep": options.deep, "files": results}
    if options.out is not None:
        write_json(document, options.out)
    if options.as_json:
        print(json.dumps(document, indent=2, allow_nan=False))
    if refusals:
        raise UserError("; ".join(refusals))
    return 0 if ok else 1


def check_source(source: CheckSource, *, deep: bool = False, show_progress: bool = False) -> CheckedFile:
    """Read an annotation file as a run does, and check its images.

    Args:
        source: the file and its images.
        deep: decode every image and mask; otherwise only the beginning and end of image files are read.
        show_progress: whether to show progress on stdout.

    Raises:
        UserError: the file cannot be read, or the folder does not exist.
    """
    opened = open_source(
        SourceRequest(source.annotations, source.images, source.format, source.split, source.reading.exif),
        temporary_cache("boxes.json"),
    )
    img_dir = to_path(opened.images)
    coco = read_coco(to_path(opened.annotations))
    if not img_dir.is_dir():
        raise UserError(f"{opened.images}: {'is a file; must be a folder' if img_dir.exists() else 'no such folder'}")
    notes = [*choose_reading(coco, img_dir, source.reading), *fill_missing_sizes(coco, img_dir)]
    boxes, box_notes = select_boxes(coco)
    issues: list[ImageIssue] = []
    looked_at = check_images(coco.images, img_dir, deep=deep)
    for _, found in _with_progress(looked_at, len(coco.images)) if show_progress else looked_at:
        issues += found
    kept = has_mask_to_keep(coco) if source.keep_existing_masks else np.zeros(len(coco.annotations), np.bool_)
    boxes = boxes.take(np.flatnonzero(~kept[boxes.positions]))
    failed = _failures(boxes, issues)
    labelled = set(boxes.positions.tolist()) - {note.position for note in failed}
    truth = _truth(coco, boxes) if deep else None
    notes = [*notes_beside_kept([*notes, *box_notes], kept), *failed, *(truth.notes.values() if truth else ())]
    report = label_report(coco, labelled, notes, Positions(kept))
    return CheckedFile(replace(source, images=opened.images), coco, boxes, notes, truth, report, issues, opened.lines)


def _with_progress(looked_at: Iterable[_Looked], total: int) -> Iterator[_Looked]:
    with task_progress("looking at pictures", total, "images") as progress:
        for count, found in looked_at:
            yield count, found
            progress.advance(count)


def _failures(boxes: Boxes, issues: Sequence[ImageIssue]) -> list[RecordNote]:
    """The notes of a run on boxes whose images cannot be read."""
    faults = {issue.row: issue.fault for issue in issues if issue.fault}
    on_them = np.flatnonzero(np.isin(boxes.image_rows, list(faults)))
    notes = [
        RecordNote(box.position, box.annotation_id, box.image.id, "failed", faults[row] or "")
        for row, box in zip(boxes.image_rows[on_them].tolist(), boxes.take(on_them), strict=True)
    ]
    return sorted(notes, key=lambda note: note.position or 0)


def _truth(coco: CocoFile, boxes: Boxes) -> GroundTruth:
    """Read every mask of the boxes once, as a run does that compares with them."""
    truth = GroundTruth(coco)
    for box in boxes.take(np.flatnonzero(boxes.has_mask)):
        truth.rle(box)
    return truth


def summary(checked: CheckedFile) -> dict[str, Any]:
    """The results as plain JSON values."""
    coco, boxes, counts = checked.coco, checked.boxes, checked.report["counts"]
    with_boxes = set(np.unique(boxes.image_rows).tolist())
    trained_on, masks_that_fit = _trained_on(checked), _masks_that_fit(checked)
    return {
        "annotations": checked.source.annotations,
        "images": checked.source.images,
        "used_for": list(checked.source.uses),
        **({"conversion": list(checked.conversion)} if checked.conversion else {}),
        "ok": not counts["skipped"] and not counts["failed"] and trained_on != 0 and masks_that_fit != 0,
        "counts": counts,
        "image_counts": {
            "images": len(coco.images),
            "with_boxes": len(with_boxes),
            "without_boxes": len(coco.images) - len(with_boxes),
            "unusable_records": len(coco.unusable_images),
            "unreadable": sum(issue.fault is not None for issue in checked.issues),
        },
        "boxes": {
            "with_masks": int(boxes.has_mask.sum()),
            "masks_that_fit": masks_that_fit,
            "classes": _class_counts(coco, boxes),
            "sizes": dict(zip(SIZE_NAMES, _size_counts(boxes), strict=True)),
            "trained_on": trained_on,
        },
        "strict_json": coco.strict_json,
        "exif": coco.images.exif,
        "look_at": _worth_a_look(checked, with_boxes),
        "records": checked.report["records"],
        "pictures": [
            {
                "image_id": issue.image.id,
                "file_name": issue.image.file_name,
                "fault": issue.fault,
                "remarks": list(issue.remarks),
                "orientation": issue.orientation,
                "has_boxes": issue.row in with_boxes,
            }
            for issue in checked.issues
        ],
    }


def _turned_line(checked: CheckedFile, with_boxes: Collection[int]) -> str | None:
    """A warning if viewers show images in another orientation than the one boxes are assumed to be in."""
    turned = [issue.row for issue in checked.issues if issue.orientation != 1 and issue.row in with_boxes]
    if not turned or checked.coco.images.exif == "upright":
        return None
    return (
        f"viewers turn {len(turned)} of the {len(with_boxes)} pictures that have boxes (EXIF orientation), and boxes"
        " are taken as drawn on the pictures as they are stored: if they were drawn in a viewer, --exif upright"
        " (dataset.exif=upright) takes them so"
    )


def _worth_a_look(checked: CheckedFile, with_boxes: Collection[int]) -> list[str]:
    """Possible problems of the file as a whole that would not stop a run."""
    suspected, turned = box_suspicion(checked.coco), _turned_line(checked, with_boxes)
    lines = [str(suspected)] if suspected else []
    lines += reasons(checked.truth.notes.values()) if checked.truth else []
    return [*lines, turned] if turned else lines


def _masks_that_fit(checked: CheckedFile) -> int | None:
    """Count the boxes whose mask can be compared with; None if masks were not checked, or none can be read."""
    truth, count = checked.truth, int(checked.boxes.has_mask.sum())
    return count - len(truth.notes) if truth and count > len(truth.unreadable) else None


def _class_counts(coco: CocoFile, boxes: Boxes) -> dict[str, int]:
    """Count boxes by class, the most frequent first."""
    ids = coco.table.category_ids
    names = (ids[position] for position in boxes.positions.tolist())
    return dict(Counter(NO_CLASS if name is None else category_name(coco, name) for name in names).most_common())


def _size_counts(boxes: Boxes) -> list[int]:
    areas = boxes.visible_sizes.prod(axis=1)
    return np.bincount(np.searchsorted(BIN_ENDS, areas), minlength=len(SIZE_NAMES)).tolist()


def _trained_on(checked: CheckedFile) -> int | None:
    """Count the boxes within the size limits of training; None for a file that is not trained on."""
    if checked.source.training_sizes is None:
        return None
    low, high = checked.source.training_sizes
    return broken_size_rules(checked.boxes, min_obj_size=low, max_obj_size=high).count(None)


def _show(result: dict[str, Any], options: CheckOptions) -> None:
    for line in result.get("conversion", ()):
        console.print(line)
    for table in file_tables(result, limit=options.limit):
        console.print(table)
    for line in advice_lines(result, deep=options.deep):
        console.print(line)
