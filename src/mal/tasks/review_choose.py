"""`mal review --choose`: which boxes to draw first, on the terminal and as a label file of their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mal.coco.coco_file import CocoFile, is_id, read_coco, show
from mal.coco.lazy_json import JsonRecords
from mal.console import console
from mal.files import atomic_file, dumps, without_non_finite, write_object
from mal.formats.folders import check_target
from mal.reading import Reading
from mal.review.choose import Chosen, choose_boxes
from mal.review.journal import DECIDED_STATES, journal_path, read_review


def run(
    labels: Path,
    images: Path,
    *,
    count: int,
    out: Path | None,
    journal: Path | None,
    reading: Reading,
    overwrite: bool,
) -> int:
    """Choose boxes, print them, and write them.

    Args:
        labels: the label file.
        images: folder of its pictures.
        count: how many boxes.
        out: COCO file of them and their pictures; None writes none.
        journal: of a review of the label file: what is decided in it is not chosen. None takes the one beside the label
            file, if there is one.
        reading: how pictures are read.
        overwrite: whether ``out`` may be replaced.

    Returns:
        Exit code 0.

    Raises:
        UserError: there is nothing to choose from, the journal belongs to another file, or ``out`` cannot be written.
    """
    if out is not None:
        check_target(out, labels, overwrite=overwrite)
    coco = read_coco(labels)
    chosen, unread = choose_boxes(coco, images, reading, count, _decided(labels, journal))
    for number, box in enumerate(chosen, start=1):
        console.print(_line(number, box), soft_wrap=True, markup=False, highlight=False)
    if unread:
        console.print(f"{unread} pictures cannot be read: their boxes are not chosen")
    if out is not None:
        _write(coco, chosen, out)
        console.print(f"{out}: {len(chosen)} boxes to draw: mal review {out} {images}", soft_wrap=True, markup=False)
    return 0


def _decided(labels: Path, journal: Path | None) -> set[int]:
    if journal is None and not journal_path(labels).exists():
        return set()
    decisions = read_review(labels, journal).decisions
    return {position for position, decision in decisions.items() if decision.state in DECIDED_STATES}


def _line(number: int, box: Chosen) -> str:
    score = "" if box.score is None else f", score {box.score:.2f}"
    return f"{number:3}. annotation {show(box.annotation_id)} of {box.file_name} ({box.category}{score})"


def _write(coco: CocoFile, chosen: Sequence[Chosen], out: Path) -> None:
    wanted = {box.position for box in chosen}
    rows = {int(coco.table.image_rows[position]) for position in wanted}
    image_ids = {coco.images.at(row).id for row in rows}

    def records(key: str, value: Any) -> Any:
        if key == "annotations":
            return _json(coco.annotations[position] for position in sorted(wanted))
        if key == "images":
            return _json(record for record in value if _id_of(record) in image_ids)
        return dumps(without_non_finite(list(value) if isinstance(value, JsonRecords) else value)[0])

    with atomic_file(out) as file:
        write_object(file, ((key, records(key, value)) for key, value in coco.document.items()))


def _id_of(record: Any) -> Any:
    image_id = record.get("id") if isinstance(record, dict) else None
    return image_id if is_id(image_id) else None


def _json(records: Iterator[Any]) -> Iterator[bytes]:
    return (dumps(without_non_finite(record)[0]) for record in records)
