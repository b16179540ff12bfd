"""Put decisions into a COCO file: drawn masks, and what a person has said of each annotation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mal.coco.coco_file import CocoFile
from mal.coco.lazy_json import JsonRecords
from mal.data.picture_remarks import MARK
from mal.files import atomic_file, dumps, without_non_finite, write_object
from mal.labeling.label_file import document_to_write
from mal.masks.rle import rle_area, rle_extent
from mal.review.journal import STATES, Decision, Journal

REVIEW = "review"
_OF_THE_MODEL = ("mask_score", "iou")
_OF_THE_DOUBT = ("status", "reason")


def write_reviewed(coco: CocoFile, journal: Journal, out: Path, *, keep_rejected: bool) -> Counter[str]:
    """Write the label file with the decisions on it, streamed and atomically; the label file itself stays.

    Every annotation with a decision gets ``mal.review``: ``state``, ``by``, ``time`` and ``version``. An edited one
    gets its drawn mask, with ``area`` and ``bbox`` of it; the box before is in ``mal.review.bbox_before``. All else is
    unchanged, so the mask of a draft is that of the label file.

    Args:
        coco: the label file.
        journal: the decisions on it.
        out: file to write.
        keep_rejected: whether rejected annotations are written, with the mask that was rejected.

    Returns:
        Annotations by state; without a decision they count as "undecided".

    Raises:
        UserError: ``out`` cannot be written.
    """
    counts: Counter[str] = Counter()

    def annotations() -> Iterator[bytes]:
        for position, record in enumerate(coco.annotations):
            decision = journal.decisions.get(position)
            counts["undecided" if decision is None else decision.state] += 1
            if decision is not None and decision.state == "rejected" and not keep_rejected:
                continue
            yield _text(coco, record if decision is None else reviewed_record(record, decision))

    with atomic_file(out) as file:
        write_object(
            file,
            (
                (key, annotations() if key == "annotations" else _values(coco, value))
                for key, value in _document(coco, journal).items()
            ),
        )
    return counts


def reviewed_record(record: Any, decision: Decision) -> Any:
    """An annotation with the decision on it; see `write_reviewed`."""
    if not isinstance(record, dict):
        return record
    said: dict[str, Any] = {
        "state": decision.state,
        "by": decision.by,
        "time": decision.time,
        "version": decision.version,
    }
    result = dict(record)
    if decision.state == "edited" and decision.segmentation is not None:
        result = {key: value for key, value in record.items() if key not in _OF_THE_MODEL}
        result |= {
            "segmentation": decision.segmentation,
            "area": rle_area(decision.segmentation),
            "bbox": list(rle_extent(decision.segmentation)),
            "iscrowd": 0,
        }
        if result["bbox"] != record.get("bbox"):
            said["bbox_before"] = record.get("bbox")
    mark = record.get(MARK)
    kept = mark if isinstance(mark, dict) else {}
    if decision.is_right:  # a person has settled the doubt
        kept = {key: value for key, value in kept.items() if key not in _OF_THE_DOUBT}
    return result | {MARK: {**kept, REVIEW: said}}


def count_line(counts: Counter[str]) -> str:
    """The annotations by state, on one line."""
    named = ", ".join(f"{counts[state]:,} {state}" for state in STATES[::-1] if counts[state])
    return f"{sum(counts.values()):,} annotations: {named or 'none'}"


def _document(coco: CocoFile, journal: Journal) -> dict[str, Any]:
    document = document_to_write(coco)
    mark = document.get(MARK)
    review = {"labels": coco.path.name, "sha256": journal.digest}
    return {**document, MARK: {**(mark if isinstance(mark, dict) else {}), REVIEW: review}}


def _values(coco: CocoFile, value: Any) -> bytes | Iterator[bytes]:
    if isinstance(value, (JsonRecords, Iterator)):
        return (_text(coco, record) for record in value)
    return _text(coco, value)


def _text(coco: CocoFile, value: Any) -> bytes:
    return dumps(value if coco.strict_json else without_non_finite(value)[0])
