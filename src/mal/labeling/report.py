"""The report of a labeling run: the outcome of every annotation, as JSON, CSV and lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mal.coco.coco_file import CocoFile, is_id, show
from mal.coco.notes import RecordNote
from mal.files import atomic_file, dumps, without_non_finite, write_csv

_WORDS: dict[str, str] = {
    "passed": "copied unchanged",
    "clipped": "box limited to the image",
    "doubtful": "mask written and marked",
    "warned": "noted",
}


def outcome_text(coco: CocoFile, note: RecordNote) -> str:
    """Describe in a phrase what the label file has in place of a plain label.

    Args:
        coco: the input file.
        note: the note on one of its records.
    """
    position = note.position
    if note.action in _WORDS:
        return _WORDS[note.action]
    if position is None:
        return "written with null in place of what cannot be written"
    if note.annotation_id is None and not isinstance(coco.annotations[position], dict):
        return "left out: a label file holds objects only"
    if coco.table.has_mask[position]:
        return "kept with the mask that it has, and marked"
    row = int(coco.table.image_rows[position])
    if row >= 0 and coco.images.at(row).has_size:
        return "empty mask written, and marked"
    return "kept without a mask, and marked"


COLUMNS = ("annotation_index", "annotation_id", "image_id", "file_name", "action", "reason", "done")


def write_skipped_csv(records: Iterable[Mapping[str, Any]], path: Path) -> None:
    """Write the table atomically, as UTF-8 CSV with a header; without records it has only the header.

    Args:
        records: from `mal.labeling.report.label_report`.
        path: the file to write.

    Raises:
        UserError: the file cannot be written.
    """
    write_csv(COLUMNS, ([_cell(record[name]) for name in COLUMNS] for record in records), path)


def _cell(value: Any) -> Any:
    """Ids may be of any JSON type; strings and integers are written unchanged."""
    return show(value) if isinstance(value, (dict, list, bool, float)) else value


# An annotation that is not labeled has exactly one note with one of these.
OUTCOMES = ("skipped", "passed", "failed")
_SHOWN_FIRST = ("failed", "skipped", "doubtful", "clipped", "warned")
_AMONG_LABELED = ("clipped", "doubtful")


def outcomes(
    coco: CocoFile, labelled: Collection[int], notes: Sequence[RecordNote], kept: Collection[int] = ()
) -> dict[int, RecordNote]:
    """Map each annotation that was neither labeled nor kept, by position, to the note with the reason.

    Args:
        coco: the input file.
        labelled: positions of the annotations that got a mask (a `Mapping` of labels by position will do).
        notes: from `mal.coco.boxes.select_boxes` and from labeling.
        kept: positions of the annotations that keep the mask they have.

    Raises:
        ValueError: an annotation is lost or counted twice, which is a bug.
    """
    result: dict[int, RecordNote] = {}
    for note in notes:
        if note.position is None or note.action not in OUTCOMES:
            continue
        if note.position in result or note.position in labelled or note.position in kept:
            raise ValueError(f"annotations[{note.position}] has two outcomes, the second: {note}")
        result[note.position] = note
    places = range(len(coco.annotations))
    lost = [place for place in places if place not in result and place not in labelled and place not in kept]
    if lost or len(result) + len(labelled) + len(kept) != len(coco.annotations):
        raise ValueError(f"of {len(coco.annotations)} annotations, no outcome is known for {lost[:5]}")
    return result


def label_report(
    coco: CocoFile, labelled: Collection[int], notes: Sequence[RecordNote], kept: Collection[int] = ()
) -> dict[str, Any]:
    """Build the report as plain JSON values; arguments as in `outcomes`, the notes of ``coco`` are added here.

    Returns:
        ``input``, ``counts`` (``annotations`` = ``labelled`` + ``skipped`` + ``passed`` + ``failed`` + ``kept``;
        ``clipped`` and ``doubtful`` are part of ``labelled``, ``warned`` counts notes) and ``records``, one a note.
    """
    actions: Counter[str] = Counter(note.action for note in outcomes(coco, labelled, notes, kept).values())
    every_note = [*coco.notes, *notes]
    counts = {
        "annotations": len(coco.annotations),
        "labelled": len(labelled),
        **{action: _num_labeled(action, notes, labelled) for action in _AMONG_LABELED},
        **{action: actions[action] for action in OUTCOMES},
        "kept": len(kept),
        "warned": sum(note.action == "warned" for note in every_note),
    }
    records, _ = without_non_finite([_entry(coco, note) for note in every_note])
    return {"input": str(coco.path), "counts": counts, "records": records}


def _num_labeled(action: str, notes: Sequence[RecordNote], labelled: Collection[int]) -> int:
    return sum(position in labelled for position in {note.position for note in notes if note.action == action})


def write_label_report(report: Mapping[str, Any], path: Path) -> None:
    """Write a report as indented JSON, atomically.

    Raises:
        UserError: the file cannot be written.
    """
    with atomic_file(path) as file:
        file.write(dumps(report, indent=True) + b"\n")


def summary_lines(report: Mapping[str, Any], *, limit: int = 20) -> list[str]:
    """Format the report for the terminal: a line of counts, then failed, skipped, clipped and odd records.

    Args:
        report: from `label_report`.
        limit: number of records to name; copied group regions are only counted.
    """
    counts = report["counts"]
    if counts["annotations"] == 0:
        first = "nothing to do: the file has no annotations"
    else:
        among = ", ".join(f"{counts[action]} {action}" for action in _AMONG_LABELED if counts[action])
        parts = [f"{counts['labelled']} labelled" + (f" ({among})" if among else "")]
        parts += [f"{counts[action]} {action}" for action in (*OUTCOMES, "kept") if counts[action]]
        parts += [f"{counts['warned']} warned about"] if counts["warned"] else []
        first = f"{counts['annotations']} annotations: {', '.join(parts)}"
    named = [entry for action in _SHOWN_FIRST for entry in report["records"] if entry["action"] == action]
    lines = [first, *(_line(entry) for entry in named[:limit])]
    if len(named) > limit:
        lines.append(f"... and {len(named) - limit} more, in the report file")
    return lines


def _entry(coco: CocoFile, note: RecordNote) -> dict[str, Any]:
    image = coco.images.get(note.image_id) if is_id(note.image_id) else None
    return {
        "action": note.action,
        "reason": note.reason,
        "annotation_index": note.position,
        "annotation_id": _id(note.annotation_id),
        "image_id": _id(note.image_id),
        "file_name": image.file_name if image else None,
        "done": outcome_text(coco, note),
    }


def _id(value: Any) -> Any:
    """An id as in the file; a value that cannot be an id is shortened."""
    return show(value) if isinstance(value, (list, dict)) else value


def _line(entry: Mapping[str, Any]) -> str:
    if entry["annotation_index"] is None:
        return f"{entry['action']}: {entry['reason']}"
    image = f", image {show(entry['image_id'])}" + (f" ({entry['file_name']})" if entry["file_name"] else "")
    return f"{entry['action']}: annotation {show(entry['annotation_id'])}{image}: {entry['reason']}"
