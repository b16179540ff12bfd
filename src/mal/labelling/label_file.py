"""Write the label file: the input COCO file with masks in its annotations, everything else as it was."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from mal.data.coco import CocoFile, is_id, show
from mal.data.json_out import dumps, without_non_finite
from mal.data.json_records import JsonRecords
from mal.data.notes import RecordNote
from mal.errors import UserError
from mal.files import atomic_file
from mal.labelling.label import Label, reason_to_doubt
from mal.labelling.label_report import outcomes
from mal.masks.rle import empty_rle, rle_area

# Readers index annotations by these and fail on the whole file where one is missing or a list.
_INDEXED = ("id", "image_id", "category_id")


def check_output_path(coco_path: Path, path: Path) -> None:
    """Refuse to overwrite the input, or to write where that is not possible; call it before hours of labelling.

    Makes the folder of ``path`` if absent.

    Raises:
        UserError: ``path`` is the input file or a folder, or its folder cannot be made or written.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder: give the name of the label file to write")
    if path.resolve() == coco_path.resolve() or (path.exists() and path.samefile(coco_path)):
        raise UserError(f"{path} is the input file: give the label file another name")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from error


def write_label_file(
    coco: CocoFile,
    labels: Mapping[int, Label],
    notes: Sequence[RecordNote],
    path: Path,
    *,
    kept: Collection[int] = (),
    min_score: float | None = None,
) -> list[RecordNote]:
    """Write the label file, streamed, whole or not at all.

    Annotations keep their order, ids, ``bbox`` and extra keys. A labelled one gets ``segmentation`` (compressed RLE),
    ``area`` (pixels of the mask), ``iscrowd`` 0 and, if known, ``iou`` and ``mask_score``. A passed or kept one is
    unchanged. A skipped or failed one keeps what it has, and gets an empty mask if it has none. It says why under the
    key ``mal``, as a doubtful one does.

    Args:
        coco: the input file.
        labels: by position in ``coco.annotations``; each is asked for once, in this order.
        notes: of `mal.data.boxes.select_boxes`, and those of the labelling itself.
        path: the file to write; not the input file.
        kept: positions of annotations that keep the mask they have.
        min_score: a label with a lower score is doubtful; None doubts none for its score. An empty mask always is.

    Returns:
        A "doubtful" note for each such label, and a "warned" one for each value that a strict COCO file cannot hold and
        that was written as null.

    Raises:
        UserError: ``path`` is the input file or cannot be written.
        ValueError: an annotation has no outcome or two (see `mal.labelling.label_report.outcomes`).
    """
    path = Path(path)
    check_output_path(coco.path, path)
    unlabelled = outcomes(coco, labels, notes, kept)
    changes: list[RecordNote] = []
    with atomic_file(path) as file:
        file.write(b"{")
        for index, (key, value) in enumerate(coco.document.items()):
            file.write((b",\n" if index else b"") + dumps(key) + b": ")
            if key == "annotations":
                _write_list(file, _annotations(coco, labels, unlabelled, kept, min_score, changes))
            elif isinstance(value, JsonRecords):
                _write_list(file, (_strict(coco, record, f'"{key}"', changes) for record in value))
            else:
                file.write(dumps(_strict(coco, value, f'"{key}"', changes)))
        file.write(b"}\n")
    return changes


def _write_list(file: BinaryIO, records: Iterable[Any]) -> None:
    file.write(b"[")
    for number, record in enumerate(records):
        file.write((b",\n" if number else b"\n") + dumps(record))
    file.write(b"]")


def _annotations(
    coco: CocoFile,
    labels: Mapping[int, Label],
    unlabelled: Mapping[int, RecordNote],
    kept: Collection[int],
    min_score: float | None,
    changes: list[RecordNote],
) -> Iterator[dict[str, Any]]:
    for position, record in enumerate(coco.annotations):
        if not isinstance(record, dict):
            continue  # its "skipped" note names it; a COCO reader would fail on it
        note = unlabelled.get(position)
        if position in kept or (note is not None and note.action == "passed"):
            result = record
        elif note is not None:
            result = _marked(coco, record, note)
        else:
            label = labels[position]
            result = _labelled(record, label)
            if reason := reason_to_doubt(label, min_score):
                changes.append(RecordNote(position, record.get("id"), record.get("image_id"), "doubtful", reason))
                result = _with_mark(result, changes[-1])
        result = _indexable(result, position, changes)
        yield _strict(coco, result, f"annotations[{position}]", changes, position)


def _labelled(record: dict[str, Any], label: Label) -> dict[str, Any]:
    result = {key: value for key, value in record.items() if key != "mal" or not _is_mark(value)}
    result |= {"segmentation": label.rle, "area": rle_area(label.rle), "iscrowd": 0}
    result |= {} if label.iou is None else {"iou": float(label.iou)}
    return result if label.score is None else result | {"mask_score": float(label.score)}


def _marked(coco: CocoFile, record: dict[str, Any], note: RecordNote) -> dict[str, Any]:
    result = dict(record)
    image = coco.images.get(record["image_id"]) if is_id(record.get("image_id")) else None
    if not record.get("segmentation") and image is not None and image.has_size:
        result |= {"segmentation": empty_rle(image.width, image.height), "area": 0}
    return _with_mark(result, note)


def _with_mark(record: dict[str, Any], note: RecordNote) -> dict[str, Any]:
    old = record.get("mal")
    return record | {"mal": {**(old if isinstance(old, dict) else {}), "status": note.action, "reason": note.reason}}


def _is_mark(value: Any) -> bool:
    """Whether a value under ``mal`` is the mark of an earlier run, which a mask makes untrue."""
    return isinstance(value, dict) and set(value) == {"status", "reason"}


def _indexable(record: dict[str, Any], position: int, changes: list[RecordNote]) -> dict[str, Any]:
    faults = [key for key in _INDEXED if key not in record or isinstance(record[key], (list, dict))]
    for key in faults:
        was = show(record[key]) if key in record else "missing"
        reason = f"{key} is {was}: written as null, because readers cannot index the file otherwise"
        changes.append(RecordNote(position, record.get("id"), record.get("image_id"), "warned", reason))
    return record | dict.fromkeys(faults) if faults else record


def _strict(coco: CocoFile, value: Any, where: str, changes: list[RecordNote], position: int | None = None) -> Any:
    if coco.strict_json:
        return value
    cleaned, count = without_non_finite(value)
    if count:
        annotation_id, image_id = (value.get("id"), value.get("image_id")) if position is not None else (None, None)
        reason = f"{where} holds {count} NaN or infinite numbers: written as null"
        changes.append(RecordNote(position, annotation_id, image_id, "warned", reason))
    return cleaned
