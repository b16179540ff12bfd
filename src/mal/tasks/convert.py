"""`mal convert`: read one format, write another, report what cannot be kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mal.coco.coco_file import show
from mal.console import console
from mal.errors import UserError, working_on
from mal.files import write_json
from mal.formats.edits import NO_EDITS, BoxChange, MaskEdits, edited, write_box_changes
from mal.formats.folders import ReadOptions, WriteOptions, check_target, folder_beside
from mal.formats.formats import WRITERS, output_format, read_something
from mal.formats.label_studio import config_file
from mal.formats.recognize import input_format
from mal.formats.tally import Tally
from mal.formats.yolo_out import SPLITS, adds_a_split

_YOLO = ("yolo", "yolo-seg")
_WITH_POLYGONS = ("coco", "cvat", "labelme", "label-studio", "yolo-seg")
_WITH_PICTURES = ("yolo", "yolo-seg", "labelme", "cvat")


def run(
    source: Path,
    target: Path,
    *,
    source_format: str | None,
    target_format: str | None,
    reading: ReadOptions,
    writing: WriteOptions,
    edits: MaskEdits = NO_EDITS,
    overwrite: bool,
    skip_broken: bool,
    report: Path | None,
) -> int:
    """Convert, and print what was written and what was left out.

    Returns:
        Exit code: 1 if broken records were left out or nothing was left to write, else 0.

    Raises:
        UserError: the input is broken (file and line are named), nothing was read or written, or the output exists
            already or cannot be written.
    """
    if reading.images is not None and not reading.images.is_dir():
        raise UserError(f"--images {reading.images}: no such folder")
    source_format = source_format or input_format(source)
    target_format = target_format or output_format(target)
    _check_writing(target_format, writing)
    is_addition = target_format in _YOLO and adds_a_split(target, writing.split)
    check_target(target, source, overwrite=overwrite or is_addition)
    boxes_file = _boxes_file(target) if edits.tighten_boxes else None
    for path in _files_beside(target, target_format, boxes_file, report):
        check_target(path, source, overwrite=overwrite)
    tally = Tally(skip_broken=skip_broken)
    with working_on(str(source)):
        found = read_something(source, source_format, reading, tally)
    images = found.images
    writing = replace(writing, images=images)
    _check_pictures(target_format, writing)
    coco, turning = found.turned_for(
        target_format,
        tally,
        looked_at=images or folder_beside(source, source_format),
        keep_polygons=target_format == "cvat" and writing.shapes == "polygons",
    )
    with working_on(str(source)):
        coco, changes = edited(coco, edits, tally)
    WRITERS[target_format](coco, target, writing, tally)
    if boxes_file is not None:
        write_box_changes(changes, boxes_file)
        tally.notes.append(_tightened_line(changes, boxes_file))
    console.print(f"{source} ({source_format}) -> {target} ({target_format})")
    for line in (*tally.lines(), *turning):
        console.print(line)
    if images is not None and reading.images is None:
        console.print(f"the pictures: --images {images}")
    if report is not None:
        write_json(tally.as_json(), report)
    has_nothing = tally.images == 0 or (tally.boxes + tally.masks == 0 and len(coco.table) > 0)
    if has_nothing:
        console.print(f"nothing of {source} has come to {target}: the lines above say why")
    return 1 if tally.has_broken or has_nothing else 0


def _boxes_file(target: Path) -> Path:
    """The table of old and new boxes beside the output."""
    return target.with_name(f"{target.stem if target.suffix in ('.json', '.zip') else target.name}.boxes.csv")


def _tightened_line(changes: list[BoxChange], table: Path) -> str:
    if not changes:
        return f"all boxes are those of their masks already: {table} is empty"
    lowest = min(changes, key=lambda change: change.iou)
    return (
        f"boxes tightened to their masks: {len(changes)}; IoU of old and new"
        f" {sum(change.iou for change in changes) / len(changes):.3f} on average, lowest {lowest.iou:.3f}"
        f" (annotation {show(lowest.annotation_id)} of {lowest.file_name}): {table}"
    )


def _files_beside(target: Path, target_format: str, boxes_file: Path | None, report: Path | None) -> list[Path]:
    """The files written beside the output.

    Raises:
        UserError: two of them have the same path.
    """
    settings = [config_file(target)] if target_format == "label-studio" else []
    settings += [boxes_file] if boxes_file is not None else []
    if report is not None and report.resolve() in {path.resolve() for path in (target, *settings)}:
        raise UserError(f"--report {report}: OUT is written there; give the report another name")
    return [*settings, *([report] if report is not None else [])]


def _check_writing(target_format: str, writing: WriteOptions) -> None:
    if target_format in _YOLO and writing.split not in (None, *SPLITS):
        raise UserError(f"--split {writing.split}: a YOLO data set has the parts {', '.join(SPLITS)}")
    if writing.max_corners is None:
        if writing.min_iou:
            raise UserError("--min-iou goes with --max-corners N, which says how many corners polygons may have")
        return
    if target_format not in _WITH_POLYGONS:
        raise UserError(f"--max-corners: {target_format} has no polygons; {', '.join(_WITH_POLYGONS)} have")
    if writing.shapes == "masks":
        raise UserError("--max-corners is for polygons: leave --shapes masks out")
    if writing.tolerance:
        raise UserError("--max-corners and --tolerance are two ways to fewer corners: choose one")


def _check_pictures(target_format: str, writing: WriteOptions) -> None:
    if writing.pictures == "no":
        return
    if target_format not in _WITH_PICTURES:
        raise UserError(f"--pictures: {target_format} has no place for pictures; {', '.join(_WITH_PICTURES)} have")
    if writing.images is None:
        raise UserError(f"--pictures {writing.pictures} needs --images DIR, the folder of the pictures")
