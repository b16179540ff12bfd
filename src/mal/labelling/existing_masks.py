"""Annotations that keep the masks which people drew."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mal.data.coco import CocoFile
from mal.data.notes import RecordNote


def has_mask_to_keep(coco: CocoFile) -> npt.NDArray[np.bool_]:
    """(N,) bool: the annotations with a mask, but for the empty ones that an earlier run put where it found none."""
    kept = coco.table.has_mask.copy()
    for position, record in enumerate(coco.annotations):
        if kept[position] and _was_left_empty(record):
            kept[position] = False
    return kept


def notes_beside_kept(notes: Iterable[RecordNote], kept: npt.NDArray[np.bool_]) -> list[RecordNote]:
    """The notes without what is told of boxes that nobody labels; a fault of such a record is still worth a look."""
    result = []
    for note in notes:
        if note.position is None or not kept[note.position]:
            result.append(note)
        elif note.action in ("skipped", "warned"):
            result.append(replace(note, action="warned"))
    return result


def _was_left_empty(record: dict[str, Any]) -> bool:
    mark = record.get("mal")
    return (
        isinstance(mark, dict) and mark.get("status") in ("skipped", "failed", "doubtful") and record.get("area") == 0
    )
