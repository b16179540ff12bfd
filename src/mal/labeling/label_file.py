"""Write the label file: the input COCO file with masks in its annotations."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mal.coco.coco_file import CocoFile, is_id, show
from mal.coco.lazy_json import JsonRecords
from mal.coco.notes import RecordNote
from mal.data.picture_remarks import marked_upright
from mal.errors import UserError, one_line
from mal.files import atomic_file, dumps, without_non_finite, write_object
from mal.labeling.report import OUTCOMES, outcomes
from mal.labeling.shards import MaskLabel, reason_to_doubt
from mal.masks.rle import empty_rle, rle_area

# Readers index annotations by these; one missing or list value makes the whole file unreadable.
_INDEXED = ("id", "image_id", "category_id")
_NO_NOTE = RecordNote(None, None, None, "warned", "")


def check_output_path(coco_path: Path, path: Path) -> None:
    """Refuse to overwrite the input or to write to an impossible place; call it before hours of labeling.

    Creates the folder of ``path`` if needed.

    Raises:
        UserError: ``path`` is the input file or a folder, or its folder cannot be created or written.
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
    labels: Mapping[int, MaskLabel],
    notes: Sequence[RecordNote],
    path: Path,
    *,
    kept: Collection[int] = (),
    min_score: float | None = None,
) -> list[RecordNote]:
    """Write the label file as a stream, atomically.

    Annotations keep their order, ids, ``bbox`` and extra keys. A labeled one gets ``segmentation`` (compressed RLE),
    ``area`` (pixels of the mask), ``iscrowd`` 0 and, if known, ``iou`` and ``mask_score``. A passed or kept one is
    unchanged. A skipped or failed one keeps its values, and gets an empty mask if it has none. The key ``mal`` holds
    the reason, as in a doubtful one. If boxes refer to turned images, image records have the turned sizes and
    the file records it.

    Args:
        coco: the input file.
        labels: by position in ``coco.annotations``; each is read once, in this order.
        notes: from `mal.coco.boxes.select_boxes` and from labeling.
        path: the file to write; not the input file.
        kept: positions of annotations that keep the mask they have.
        min_score: a label with a lower score is doubtful; None disables this. An empty mask is always doubtful.

    Returns:
        A "doubtful" note for each such label, and a "warned" one for each value that strict JSON cannot hold and that
        was written as null. A "failed" one for each record that cannot be written as it is; it replaces the earlier
        outcome: the file has null for what cannot be written, and no mask of this run.

    Raises:
        UserError: ``path`` is the input file or cannot be written.
        ValueError: an annotation has no outcome or two (see `mal.labeling.report.outcomes`).
    """
    path = Path(path)
    check_output_path(coco.path, path)
    unlabeled = outcomes(coco, labels, notes, kept)
    changes: list[RecordNote] = []
    with atomic_file(path) as file:
        write_object(file, _values(coco, labels, unlabeled, kept, min_score, changes))
    return changes


def _values(
    coco: CocoFile,
    labels: Mapping[int, MaskLabel],
    unlabeled: Mapping[int, RecordNote],
    kept: Collection[int],
    min_score: float | None,
    changes: list[RecordNote],
) -> Iterator[tuple[str, bytes | Iterable[bytes]]]:
    for key, value in document_to_write(coco).items():
        if key == "annotations":
            yield key, _annotations(coco, labels, unlabeled, kept, min_score, changes)
        elif isinstance(value, (JsonRecords, Iterator)):
            yield key, (_other(coco, record, f"{key}[{at}]", changes) for at, record in enumerate(value))
        else:
            yield key, _other(coco, value, f'"{key}"', changes)


def settled(
    notes: Sequence[RecordNote], changes: Sequence[RecordNote], labelled: NDArray[np.bool_], kept: NDArray[np.bool_]
) -> list[RecordNote]:
    """Combine the notes once the file is written: a record that could not be written has failed, whatever came before.

    Args:
        notes: the argument of `write_label_file`.
        changes: its result.
        labelled, kept: (num_annotations,) bool, the outcome of the annotations; changed in place.
    """
    failed = {note.position for note in changes if note.action == "failed" and note.position is not None}
    for position in failed:
        labelled[position] = kept[position] = False
    known = [note for note in notes if note.position not in failed or note.action not in OUTCOMES]
    return [*known, *changes]


def document_to_write(coco: CocoFile) -> Mapping[str, Any]:
    """The keys of a file; where its boxes refer to turned images it says so, and image records have turned sizes."""
    if coco.images.exif == "stored":
        return coco.document
    return marked_upright(coco.document) | {"images": _upright_images(coco)}


def _upright_images(coco: CocoFile) -> Iterator[Any]:
    """The image records, with the sizes of the turned images."""
    for position, record in enumerate(coco.document["images"]):
        image = coco.images.get(record["id"]) if isinstance(record, dict) and is_id(record.get("id")) else None
        has_new_size = image is not None and image.position == position and image.has_size
        yield record | {"width": image.width, "height": image.height} if image and has_new_size else record


def _annotations(
    coco: CocoFile,
    labels: Mapping[int, MaskLabel],
    unlabeled: Mapping[int, RecordNote],
    kept: Collection[int],
    min_score: float | None,
    changes: list[RecordNote],
) -> Iterator[bytes]:
    for position, record in enumerate(coco.annotations):
        if not isinstance(record, dict):
            continue  # reported by its "skipped" note; a COCO reader would fail on it
        found: list[RecordNote] = []
        label = labels.get(position)
        try:
            is_copied = position in kept or unlabeled.get(position, _NO_NOTE).action == "passed"
            result = record if is_copied else _changed(coco, record, position, label, unlabeled, min_score, found)
            text = dumps(
                _strict(coco, _indexable(result, position, found), f"annotations[{position}]", found, position)
            )
        # One bad record of any kind must not lose hours of labels.
        except Exception as error:  # noqa: BLE001
            found, text = _failed(coco, record, position, error)
        changes += found
        yield text


def _changed(
    coco: CocoFile,
    record: dict[str, Any],
    position: int,
    label: MaskLabel | None,
    unlabeled: Mapping[int, RecordNote],
    min_score: float | None,
    changes: list[RecordNote],
) -> dict[str, Any]:
    if label is None:
        return _marked(coco, record, unlabeled[position])
    result = _labeled(record, label)
    if reason := reason_to_doubt(label, min_score):
        changes.append(RecordNote(position, record.get("id"), record.get("image_id"), "doubtful", reason))
        result = _with_mark(result, changes[-1])
    return result


def _failed(coco: CocoFile, record: dict[str, Any], position: int, error: Exception) -> tuple[list[RecordNote], bytes]:
    """The replacement of a record that cannot be written as it is, and the notes on it."""
    writable, lost = _without_unwritable(record)
    reason = f"the record cannot be written ({one_line(error)})" + (f": {lost} became null" if lost else "")
    note = RecordNote(position, writable.get("id"), writable.get("image_id"), "failed", reason)
    notes = [note]
    result = _indexable(_marked(coco, writable, note), position, notes)
    return notes, dumps(without_non_finite(result)[0])


def _other(coco: CocoFile, value: Any, where: str, changes: list[RecordNote]) -> bytes:
    """Encode a value outside the annotations; what cannot be written becomes null."""
    try:
        return dumps(_strict(coco, value, where, changes))
    except Exception as error:  # noqa: BLE001 -- as for annotations
        writable, lost = _without_unwritable(value) if isinstance(value, dict) else (None, "")
        reason = f"{where} cannot be written ({one_line(error)}): {lost or 'it'} became null"
        changes.append(RecordNote(None, None, None, "failed", reason))
        return dumps(without_non_finite(writable)[0])


def _without_unwritable(record: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The record with null for each value that cannot be written, and their keys."""
    lost = [key for key, value in record.items() if not _is_writable(value)]
    return {key: None if key in lost else value for key, value in record.items()}, ", ".join(map(show, lost))


def _is_writable(value: Any) -> bool:
    try:
        dumps(without_non_finite(value)[0])
    except Exception:  # noqa: BLE001 -- as above
        return False
    return True


def _labeled(record: dict[str, Any], label: MaskLabel) -> dict[str, Any]:
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
    """Whether a value under ``mal`` is the mark of an earlier run, which a new mask makes obsolete."""
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
    finite, count = without_non_finite(value)
    if count:
        annotation_id, image_id = (value.get("id"), value.get("image_id")) if position is not None else (None, None)
        reason = f"{where} holds {count} NaN or infinite numbers: written as null"
        changes.append(RecordNote(position, annotation_id, image_id, "warned", reason))
    return finite
