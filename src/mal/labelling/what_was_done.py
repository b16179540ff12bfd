"""What labelling did with a record that is not plainly labelled, in words."""

from __future__ import annotations

from mal.data.coco import CocoFile
from mal.data.notes import RecordNote

_WORDS: dict[str, str] = {
    "passed": "copied unchanged",
    "clipped": "box limited to the image",
    "doubtful": "mask written and marked",
    "warned": "noted",
}


def what_was_done(coco: CocoFile, note: RecordNote) -> str:
    """One phrase on what the label file has in place of a plain label.

    Args:
        coco: the input file.
        note: of one of its records.
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
