"""Terminal output of `mal check`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.table import Table

from mal.coco.coco_file import show
from mal.coco.statistics import strip_details
from mal.size_bins import BIN_ENDS

KINDS_SHOWN = 30
CLASSES_SHOWN = 12
# What needs action comes first.
_ORDER = ("failed", "skipped", "clipped", "warned", "passed")


def file_tables(result: Mapping[str, Any], *, limit: int) -> Iterator[Table]:
    """Build the tables of one file.

    Args:
        result: from `mal.tasks.check.summary`.
        limit: annotations or images to name for each kind of issue.
    """
    yield _overview(result)
    yield from (table for table in (_records(result, limit), _pictures(result, limit)) if table.row_count)
    if result["boxes"]["classes"]:
        yield _classes(result["boxes"]["classes"])
        yield _sizes(result["boxes"]["sizes"])


def advice_lines(result: Mapping[str, Any], *, deep: bool) -> Iterator[str]:
    """The result for one file, and what to do."""
    counts = result["counts"]
    if not counts["annotations"]:
        yield "nothing to do: the file has no annotations"
    elif result["ok"] and result["look_at"]:
        yield f"look at these before a run; {_every(counts)}:"
    elif result["ok"]:
        yield f"good: {_every(counts)}"
    elif lost := counts["skipped"] + counts["failed"]:
        yield f"{lost} of {counts['annotations']} annotations would get no mask:"
    if counts["failed"]:
        unreadable = sum(picture["fault"] is not None and picture["has_boxes"] for picture in result["pictures"])
        yield (
            f"  {counts['failed']} for their {unreadable} pictures: mend those under {result['images']} or their"
            " records; labelling would go on without them and end with exit code 1, training would stop"
        )
    if counts["skipped"]:
        yield (
            f"  {counts['skipped']} for their records: mend those in {result['annotations']}; labelling would keep"
            " them, say why, and give those an empty mask that have none"
        )
    if result["boxes"]["masks_that_fit"] == 0:
        yield "evaluation would not start: no mask of the file can be compared with"
    if result["boxes"]["trained_on"] == 0:
        yield "training would not start: dataset.min_obj_size and max_obj_size leave no box to train on"
    yield from (f"  {line}" for line in result["look_at"])
    if not deep:
        yield "only the beginning and end of each picture were read: --deep decodes them all"


def _every(counts: Mapping[str, int]) -> str:
    clipped = f", {counts['clipped']} of them limited to their image" if counts["clipped"] else ""
    passed = f"; {counts['passed']} group regions would be copied" if counts["passed"] else ""
    kept = f"; {counts['kept']} would keep their mask" if counts["kept"] else ""
    return f"all {counts['labelled']} annotations would be labelled{clipped}{passed}{kept}"


def _overview(result: Mapping[str, Any]) -> Table:
    counts, images, boxes = result["counts"], result["image_counts"], result["boxes"]
    table = Table(title=f"for {' and '.join(result['used_for'])}", title_justify="left", show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    actions = [f"{counts[name]} {name}" for name in ("skipped", "failed", "passed", "kept") if counts[name]]
    clipped = f" ({counts['clipped']} clipped)" if counts["clipped"] else ""
    unreadable = f", {images['unreadable']} cannot be read" if images["unreadable"] else ""
    rows = {
        "annotations": f"{result['annotations']}: {counts['annotations']}",
        "images": f"{result['images']}: {images['images']}, {images['without_boxes']} without boxes{unreadable}",
        "would be": ", ".join([f"{counts['labelled']} labelled{clipped}", *actions]),
        "masks": f"{boxes['with_masks']} of the boxes have one in the file"
        if boxes["with_masks"]
        else "none in the file",
    }
    if boxes["masks_that_fit"] is not None:
        rows["masks"] += f", {boxes['masks_that_fit']} to compare with"
    if boxes["trained_on"] is not None:
        rows["training"] = f"would use {boxes['trained_on']} boxes, as dataset.min_obj_size and max_obj_size say"
    if not result["strict_json"]:
        rows["numbers"] = "the file holds NaN, Infinity or numbers as large: they would be written as null"
    for name, text in rows.items():
        table.add_row(name, text)
    return table


def _records(result: Mapping[str, Any], limit: int) -> Table:
    """The records of the report by kind."""
    kinds: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for entry in result["records"]:
        kinds.setdefault((entry["action"], strip_details(entry["reason"])), []).append(entry)
    ordered = sorted(kinds.values(), key=lambda entries: (_ORDER.index(entries[0]["action"]), -len(entries)))
    table = _findings(
        "records", ("would be", "how many", "annotations", "for example"), hidden=len(ordered) - KINDS_SHOWN
    )
    for entries in ordered[:KINDS_SHOWN]:
        ids = [_id(entry["annotation_id"]) for entry in entries if entry["annotation_index"] is not None]
        table.add_row(entries[0]["action"], str(len(entries)), _some(ids, limit), entries[0]["reason"])
    return table


def _pictures(result: Mapping[str, Any], limit: int) -> Table:
    """Remarks on images by kind; faults of images with boxes are in the table of records."""
    kinds: dict[str, list[str]] = {}
    for picture in result["pictures"]:
        for remark in picture["remarks"]:
            kinds.setdefault(remark, []).append(picture["file_name"])
        if picture["fault"] is not None and not picture["has_boxes"]:
            kinds.setdefault("cannot be read, and has no boxes to label", []).append(picture["file_name"])
    table = _findings("pictures", ("how many", "each", "files"), hidden=0)
    for remark, names in sorted(kinds.items(), key=lambda item: -len(item[1])):
        table.add_row(str(len(names)), remark, _some(names, limit))
    return table


def _classes(classes: Mapping[str, int]) -> Table:
    hidden = len(classes) - CLASSES_SHOWN
    table = Table(title="classes" + (f" ({hidden} more)" if hidden > 0 else ""), title_justify="left")
    table.add_column("class", overflow="fold")
    table.add_column("boxes", justify="right", no_wrap=True)
    for name, count in list(classes.items())[:CLASSES_SHOWN]:
        table.add_row(name, str(count))
    return table


def _sizes(sizes: Mapping[str, int]) -> Table:
    table = Table(title="sizes", title_justify="left")
    table.add_column("")
    table.add_column("up to")
    table.add_column("boxes", justify="right")
    ends = [f"{math.isqrt(int(end))} x {math.isqrt(int(end))}" for end in BIN_ENDS] + ["any"]
    for (name, count), end in zip(sizes.items(), ends, strict=True):
        table.add_row(name, end, str(count))
    return table


def _findings(title: str, columns: Sequence[str], *, hidden: int) -> Table:
    table = Table(title=title + (f" ({hidden} more kinds, in the JSON)" if hidden > 0 else ""), title_justify="left")
    for name in columns:
        table.add_column(name, overflow="fold", justify="right" if name == "how many" else "left")
    return table


def _id(value: Any) -> str:
    return "-" if value is None else show(value)


def _some(names: Iterable[str], limit: int) -> str:
    names = list(names)
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")
