"""Annotation files in numbers: what is trained on, what is left out and why, by class and by size."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from mal.data.boxes import Box, Boxes, broken_size_rules, size_rules
from mal.data.coco import CocoFile, category_is_known, category_name, show
from mal.data.notes import Action, RecordNote
from mal.size_bins import SIZE_NAMES, size_bin

NO_CLASS = "no class"
# What tells two reasons of one kind apart: files, lists, objects, texts, names in brackets, numbers.
_FILES = re.compile(r"(?<=image )\S.*?(?= (?:is|does not|cannot) )")
_VALUES = re.compile(r'\[.*?\]|\{.*?\}|"[^"]*"|\(.*?\)|-?\d[\d.e+-]*')


@dataclass(frozen=True, slots=True)
class NoteGroup:
    """Notes that say the same of different records.

    Attributes:
        action: what was done to the records.
        count: how many there are.
        example_id: annotation id of the first; None where the note is on an image, a category or the file.
        example: its reason.
    """

    action: Action
    count: int
    example_id: Any
    example: str


@dataclass(frozen=True, slots=True)
class ClassCount:
    """Boxes of one class.

    Attributes:
        name: of the class; its id where the file does not name it.
        trained: boxes to train on.
        left_out: annotations of the training file that are not trained on.
        validation: boxes to validate on.
    """

    name: str
    trained: int
    left_out: int
    validation: int


def note_groups(notes: Iterable[RecordNote]) -> list[NoteGroup]:
    """Notes with the same action and the same reason, whatever its numbers and names; most frequent first."""
    counts: Counter[tuple[Action, str]] = Counter()
    first: dict[tuple[Action, str], RecordNote] = {}
    for note in notes:
        key = (note.action, kind_of(note.reason))
        counts[key] += 1
        first.setdefault(key, note)
    return [
        NoteGroup(key[0], count, first[key].annotation_id, first[key].reason) for key, count in counts.most_common()
    ]


def kind_of(reason: str) -> str:
    """A reason without its numbers and names, the same for the same kind."""
    return _VALUES.sub("", _FILES.sub("", reason))


def left_out_records(notes: Iterable[RecordNote]) -> list[NoteGroup]:
    """Why annotations have no box that could be labelled; the counts add up to their number."""
    return note_groups(note for note in notes if note.position is not None and note.action in ("skipped", "passed"))


def left_out_groups(
    boxes: Boxes, notes: Iterable[RecordNote], *, min_obj_size: float, max_obj_size: float
) -> list[NoteGroup]:
    """Why annotations are not trained on; the counts add up to their number.

    Args:
        boxes: all that could be labelled, of `mal.data.boxes.select_boxes`.
        notes: its notes.
        min_obj_size, max_obj_size: as of `mal.data.boxes.training_boxes`.
    """
    rules = size_rules(min_obj_size=min_obj_size, max_obj_size=max_obj_size)
    broken = broken_size_rules(boxes, min_obj_size=min_obj_size, max_obj_size=max_obj_size)
    groups = left_out_records(notes)
    for name, rule in rules.items():
        if count := broken.count(name):
            example = boxes[broken.index(name)].annotation_id
            groups.append(NoteGroup("skipped", count, example, f"boxes that {rule}"))
    return sorted(groups, key=lambda group: group.count, reverse=True)


def class_counts(
    coco: CocoFile, trained: Sequence[Box], validation: tuple[CocoFile, Sequence[Box]] | None = None
) -> list[ClassCount]:
    """Boxes by class, the class with most boxes to train on first; classes of both files are joined by name.

    Args:
        coco: the training file.
        trained: its boxes to train on.
        validation: the validation file and its boxes, if any.
    """
    in_training = Counter(_class_name(coco, box.category_id) for box in trained)
    in_file = Counter(_class_name(coco, _category_id(record)) for record in coco.annotations)
    in_validation: Counter[str] = Counter()
    if validation is not None:
        val_coco, val_boxes = validation
        in_validation.update(_class_name(val_coco, box.category_id) for box in val_boxes)
    counts = [
        ClassCount(name, in_training[name], in_file[name] - in_training[name], in_validation[name])
        for name in in_file | in_validation
    ]
    return sorted(counts, key=lambda entry: (-entry.trained, -entry.left_out, -entry.validation, entry.name))


def size_counts(boxes: Iterable[Box]) -> list[int]:
    """Number of small, medium and large boxes."""
    found = Counter(size_bin(box.area) for box in boxes)
    return [found[number] for number in range(len(SIZE_NAMES))]


def share_up_to(boxes: Sequence[Box], area: float) -> float | None:
    """Share of the boxes, 0..1, with at most this area in pixels; None of no boxes."""
    return sum(box.area <= area for box in boxes) / len(boxes) if boxes else None


def absent_categories(coco: CocoFile, boxes: Iterable[Box]) -> dict[str, int]:
    """Ids of classes that the file's ``categories`` lacks, as text, with their number of boxes, most frequent first."""
    absent = Counter(
        show(box.category_id)
        for box in boxes
        if box.category_id is not None and not category_is_known(coco, box.category_id)
    )
    return dict(absent.most_common())


def _category_id(record: Any) -> Any:
    return record.get("category_id") if isinstance(record, dict) else None


def _class_name(coco: CocoFile, category_id: Any) -> str:
    return NO_CLASS if category_id is None else category_name(coco, category_id)
