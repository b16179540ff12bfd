"""Statistics of annotation files: boxes by class and size, what is left out and why."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from mal.coco.boxes import Box, Boxes, box_suspicion, broken_size_rules, size_rules
from mal.coco.coco_file import CocoFile, category_is_known, category_name, show
from mal.coco.notes import Action, RecordNote
from mal.size_bins import SIZE_NAMES, size_bin

NO_CLASS = "no class"
# What differs between reasons of one kind: files, lists, objects, texts, names in brackets, numbers.
_FILES = re.compile(r"(?<=image )\S.*?(?= (?:is|does not|cannot) )")
_VALUES = re.compile(r'\[.*?\]|\{.*?\}|"[^"]*"|\(.*?\)|-?\d[\d.e+-]*')


@dataclass(frozen=True, slots=True)
class NoteGroup:
    """Notes on different records with the same action and kind of reason.

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
    """Group notes by action and reason, ignoring numbers and names; most frequent first."""
    counts: Counter[tuple[Action, str]] = Counter()
    first: dict[tuple[Action, str], RecordNote] = {}
    for note in notes:
        key = (note.action, strip_details(note.reason))
        counts[key] += 1
        first.setdefault(key, note)
    return [
        NoteGroup(key[0], count, first[key].annotation_id, first[key].reason) for key, count in counts.most_common()
    ]


def strip_details(reason: str) -> str:
    """Remove numbers and names from a reason, so that reasons of one kind compare equal."""
    return _VALUES.sub("", _FILES.sub("", reason))


def left_out_records(notes: Iterable[RecordNote]) -> list[NoteGroup]:
    """Why annotations have no box that could be labeled; the counts add up to their number."""
    return note_groups(note for note in notes if note.position is not None and note.action in ("skipped", "passed"))


def left_out_groups(
    boxes: Boxes, notes: Iterable[RecordNote], *, min_obj_size: float, max_obj_size: float
) -> list[NoteGroup]:
    """Why annotations are not trained on; the counts add up to their number.

    Args:
        boxes: all that could be labeled, of `mal.coco.boxes.select_boxes`.
        notes: its notes.
        min_obj_size, max_obj_size: as of `mal.coco.boxes.training_boxes`.
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


REASONS_SHOWN = 3


def explain_empty_training_set(
    coco: CocoFile, boxes: Boxes, notes: Sequence[RecordNote], *, min_obj_size: float, max_obj_size: float
) -> str:
    """Explain in one line why no box is left to train on.

    Args:
        coco: the training file.
        boxes: all that could be labeled, of `mal.coco.boxes.select_boxes`; each breaks a rule of size.
        notes: its notes.
        min_obj_size, max_obj_size: as of `mal.coco.boxes.training_boxes`.
    """
    start = f"{coco.path}: no box to train on"
    count = len(coco.annotations)
    if not count:
        return f"{start}: the file has no annotations"
    if not boxes:
        groups = left_out_records(notes)
        if all(group.action == "passed" for group in groups):
            return f"{start}: all {count} annotations are groups (iscrowd is 1); single objects have iscrowd 0"
        reasons = "; ".join(
            f"{group.count} like annotation {show(group.example_id)}: {group.example}"
            for group in groups[:REASONS_SHOWN]
        )
        return f"{start}: of {count} annotations none can be used ({reasons})"
    limits = {"min_obj_size": min_obj_size, "max_obj_size": max_obj_size}
    broken = broken_size_rules(boxes, **limits)
    reasons = "; ".join(f"{broken.count(name)} {rule}" for name, rule in size_rules(**limits).items() if name in broken)
    small = sorted(box.area for box, rule in zip(boxes, broken, strict=True) if rule == "small")
    large = sorted(box.area for box, rule in zip(boxes, broken, strict=True) if rule == "large")
    advice = box_suspicion(coco) or _advice(small, large)
    return f"{start}: all {len(boxes)} boxes are left out for their size ({reasons}); {advice}"


def _advice(small: list[float], large: list[float]) -> str:
    """Suggest a value for the size limit that excludes most boxes: one that keeps at least half of them."""
    if not small and not large:
        return "a box needs more than 2 pixels of its image on each side"
    if len(small) >= len(large):
        limit = math.ceil(small[len(small) // 2]) - 1  # a box of just this area would be left out
        kept, areas, field = sum(area > limit for area in small), small, "min_obj_size"
    else:
        limit = math.floor(large[(len(large) - 1) // 2]) + 1
        kept, areas, field = sum(area < limit for area in large), large, "max_obj_size"
    return (
        f"their areas are {areas[0]:.10g} to {areas[-1]:.10g}, and dataset.{field}={limit} would keep"
        f" {kept} of those {len(areas)}"
    )
