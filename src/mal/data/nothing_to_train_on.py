"""Why a file has no box to train on, and which value of the spec would change that."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mal.data.box_tables import left_out_records
from mal.data.boxes import Boxes, box_suspicion, broken_size_rules, size_rules
from mal.data.coco import CocoFile, show
from mal.data.notes import RecordNote

REASONS_SHOWN = 3


def nothing_to_train_on(
    coco: CocoFile, boxes: Boxes, notes: Sequence[RecordNote], *, min_obj_size: float, max_obj_size: float
) -> str:
    """One line for the user.

    Args:
        coco: the training file.
        boxes: all that could be labelled, of `mal.data.boxes.select_boxes`; each breaks a rule of size.
        notes: its notes.
        min_obj_size, max_obj_size: as of `mal.data.boxes.training_boxes`.
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
    """A value of the field that leaves most boxes out, with which at least half of those would be kept."""
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
