"""Read the runs of `mal compare`: metrics of each box, and masks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from mal.bounded_yaml import load_yaml
from mal.coco.boxes import Box
from mal.coco.coco_file import CocoFile, read_coco, show
from mal.coco.ground_truth import GroundTruth, explain_missing_masks, reasons
from mal.coco.lazy_json import loads
from mal.config.catalog import spec_fields
from mal.config.references import with_environment
from mal.console import console, task_progress
from mal.data.loaders import AnnotatedImages
from mal.errors import UserError, one_line
from mal.masks.rle import Rle, rle_from_segmentation
from mal.metrics.instance_file import InstanceRow, instance_rows, read_instances
from mal.metrics.instance_table import InstanceTable, concatenate_tables, instance_row
from mal.metrics.predictions import read_predictions
from mal.metrics.summary import ClassNumbers
from mal.reading import AS_STORED, Reading
from mal.runtime.threads import ENCODERS, map_in_threads
from mal.tasks.evaluate import INSTANCES, METRICS, PREDICTIONS

_OF_PICTURES = ("dataset.exif", "dataset.gray_range")
SETTINGS = tuple(
    entry.key
    for entry in spec_fields()
    if (entry.from_checkpoint and "evaluate" in entry.tasks and entry.section != "model") or entry.key in _OF_PICTURES
)
"""Fields of the spec that change masks without changing the network."""

Masks = Callable[[Collection[int]], dict[int, Rle]]


@dataclass(frozen=True, slots=True)
class MeasuredRun:
    """One run of a comparison.

    Attributes:
        name: its name in tables.
        path: the folder or the file.
        truth: path of the annotation file with the true masks; empty if unknown.
        images: folder of the images; empty if unknown.
        settings: spec fields that change masks; empty for a label file.
        instances: a row for each box with a true mask and a mask of this run.
        missing: number of boxes with a true mask but no mask of this run.
        masks: loads the masks of some boxes, by their positions in the list of annotations.
        reading: how it has read the images.
    """

    name: str
    path: Path
    truth: str
    images: str
    settings: dict[str, Any]
    instances: list[InstanceRow]
    missing: int
    masks: Masks
    reading: Reading = AS_STORED


def results_run(name: str, folder: Path, *, truth: str | None, images: str | None) -> MeasuredRun:
    """Read the results folder of `mal evaluate`.

    Args:
        name: name of the run.
        folder: the results folder, or its parent.
        truth, images: current paths; None takes those of the folder's spec.

    Raises:
        UserError: the folder holds no evaluation.
    """
    if not (folder / INSTANCES).is_file() and (folder / "evaluate" / INSTANCES).is_file():
        folder = folder / "evaluate"
    if not (folder / INSTANCES).is_file():
        raise UserError(f"{folder}: no {INSTANCES} in it; `mal evaluate` writes one into its results folder")
    spec = _saved_spec(folder / "spec.yaml")
    return MeasuredRun(
        name=name,
        path=folder,
        truth=truth or with_environment(str(_value(spec, "dataset.val_ann_path") or "")),
        images=images or with_environment(str(_value(spec, "dataset.val_img_dir") or "")),
        settings={key: value for key in SETTINGS if (value := _value(spec, key)) is not None},
        reading=Reading.of_saved(_value(spec, "dataset") or {}),
        instances=read_instances(folder / INSTANCES),
        missing=_failed(folder / METRICS),
        masks=lambda positions: _predicted(folder / PREDICTIONS, positions),
    )


def label_run(name: str, path: Path, source: AnnotatedImages, *, images: str) -> MeasuredRun:
    """Compare a label file with true masks; annotations are matched by image file and id.

    Args:
        name: name of the run.
        path: the label file.
        source: the true masks.
        images: folder of the images; may be empty.

    Raises:
        UserError: the file is not COCO.
    """
    labels = read_coco(path)
    boxes = source.boxes_to_label.take(np.flatnonzero(source.boxes_to_label.has_mask))
    places = dict(zip(_keys(labels), range(len(labels.table)), strict=True))
    own_places = [places.get(key) if key else None for key in _keys(source.coco)]
    found = {position: place for position, place in enumerate(own_places) if place is not None}

    def masks(positions: Collection[int]) -> dict[int, Rle]:
        read = {position: _label(labels, found[position], source.coco, position) for position in positions}
        return {position: rle for position, rle in read.items() if isinstance(rle, dict)}

    classes = ClassNumbers(source.coco, boxes)
    truth = GroundTruth(source.coco)
    table = _measured(name, labels, source.coco, truth, boxes, found, classes)
    if not len(table) and len(truth.notes) == len(boxes):
        raise UserError(
            f"{source.coco.path}: no mask is left to compare with{explain_missing_masks(source.coco, truth)}"
        )
    for reason in reasons(truth.notes.values()):
        console.print(f"{source.coco.path}: in no figure: {reason}")
    return MeasuredRun(
        name=name,
        path=path,
        truth=str(source.coco.path),
        images=images,
        reading=source.coco.images.reading,
        settings={},
        instances=list(instance_rows(source.coco, table, classes)),
        missing=len(boxes) - len(truth.notes) - len(table),
        masks=masks,
    )


def _failed(path: Path) -> int:
    """The number of boxes that an evaluation left out because their image could not be read."""
    try:
        failed: int = loads(path.read_bytes())[0]["failed"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: is not a file of figures that mal evaluate wrote: {error}") from error
    return failed


def _saved_spec(path: Path) -> Any:
    try:
        return load_yaml(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path}: cannot be read: {one_line(error)}") from error


def _value(spec: Any, key: str) -> Any:
    section, _, name = key.partition(".")
    values = spec.get(section) if isinstance(spec, dict) else None
    return values.get(name) if isinstance(values, dict) else None


def _predicted(path: Path, positions: Collection[int]) -> dict[int, Rle]:
    wanted = set(positions)
    found = (entry for entry in read_predictions(path) if entry.annotation_index in wanted)
    return {entry.annotation_index: entry.rle for entry in found}


def _keys(coco: CocoFile) -> Iterator[tuple[str, str, int] | None]:
    """A key for each annotation: image file, id, and a count of earlier duplicates; None without an image record."""
    seen: Counter[tuple[str, str]] = Counter()
    names: dict[int, str] = {}
    for position, row in enumerate(coco.table.image_rows.tolist()):
        if row < 0:
            yield None
            continue
        if row not in names:
            names[row] = coco.images.at(row).file_name
        who = names[row], show(coco.table.ids[position])
        yield (*who, seen[who])
        seen[who] += 1


def _measured(
    name: str,
    labels: CocoFile,
    truths: CocoFile,
    truth: GroundTruth,
    boxes: Sequence[Box],
    places: dict[int, int],
    classes: ClassNumbers,
) -> InstanceTable:
    problems: list[str] = []

    def row(box: Box) -> InstanceTable | None:
        true, place = truth.rle(box), places.get(box.position)
        label = _label(labels, place, truths, box.position) if place is not None else None
        if isinstance(label, str):
            problems.append(f"annotation {show(box.annotation_id)}: {label}")
        if true is None or not isinstance(label, dict):
            return None
        return instance_row(box, classes.number(box.category_id), label, true, score=float("nan"))

    rows = []
    with task_progress(f"measuring {name}", len(boxes)) as progress:
        for found in map_in_threads(row, boxes, threads=ENCODERS):
            rows += [found] if found is not None else []
            progress.advance(1)
    if problems:
        console.print(f"{labels.path}: {len(problems)} masks cannot be read, for instance {problems[0]}")
    return concatenate_tables(rows)


def _label(labels: CocoFile, place: int, truths: CocoFile, position: int) -> Rle | str | None:
    """The mask of a label, or the reason why it cannot be read; None if it has no mask or is marked as not labeled."""
    record = labels.annotations[place]
    mark = record.get("mal")
    unlabeled = isinstance(mark, dict) and mark.get("status") in ("skipped", "failed")
    if not record.get("segmentation") or unlabeled:
        return None
    image = truths.images.at(int(truths.table.image_rows[position]))
    try:
        return rle_from_segmentation(record["segmentation"], image.height, image.width)
    except ValueError as error:
        return str(error)
