"""Records that a tool of people carries along with their shapes, and what becomes of them when a shape was edited."""

from __future__ import annotations

from typing import Any

import numpy as np
from pycocotools import mask as mask_utils

from mal.formats.by_image import Annotation, Json
from mal.formats.tally import Tally
from mal.masks.rle import Rle, rle_area, rle_digest

CARRIED = "mal"  # the key under which a shape or region carries its record


def carried(annotation: Annotation, rle: Rle | None) -> Json:
    """What a tool carries along: the record without its mask, and what it takes to tell an edit.

    Args:
        annotation: the one that is written.
        rle: its mask as it is written; None where it is written without one.
    """
    rest = {key: value for key, value in annotation.record.items() if key not in ("segmentation", "image_id")}
    digest = {"mask": rle_digest(rle)} if rle is not None else {}
    return {"record": rest, "class": annotation.category} | digest


def restored(carrier: Any, rle: Rle, where: str, tally: Tally, category: str | None = None) -> tuple[list[float], Json]:
    """The box and the other keys of an annotation with a mask.

    Args:
        carrier: as of `carried`, or anything else where the shape is a new one.
        rle: its mask.
        where: its name, for the tally.
        tally: notes shapes that were edited: their ``bbox`` and ``area`` are those of the mask.
        category: the name of its class as it came back; its old number is not kept where it is another one.
    """
    box: list[float] = np.asarray(mask_utils.toBbox(rle), np.float64).tolist()
    of_mask = {"segmentation": rle, "area": rle_area(rle)}
    record = _record(carrier, category, where, tally)
    if record is None:
        return box, of_mask
    old = record.pop("bbox", None)
    if not _is_box(old):
        old = box
    if carrier.get("mask") == rle_digest(rle):
        return old, of_mask | record
    tally.changed["the mask was edited: its box and area go by the new one"].append(where)
    return (box if rle_area(rle) else old), record | of_mask  # no mask, no box around it


def restored_box(
    carrier: Any, box: list[float], where: str, tally: Tally, category: str, tolerance: float
) -> tuple[list[float], Json]:
    """As `restored`, of an annotation that is a box alone; a side within ``tolerance`` pixels is an unedited one."""
    record = _record(carrier, category, where, tally)
    if record is None:
        return box, {}
    old = record.pop("bbox", None)
    if _is_box(old) and np.allclose(old, box, rtol=0, atol=tolerance):
        return old, record
    tally.changed["the box was edited: its area goes by the new one"].append(where)
    return box, record | ({"area": box[2] * box[3]} if "area" in record else {})


def _is_box(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 4 and all(type(side) in (int, float) for side in value)


def _record(carrier: Any, category: str | None, where: str, tally: Tally) -> Json | None:
    """The record that a shape carries; None of a new one."""
    if not isinstance(carrier, dict) or not isinstance(carrier.get("record"), dict):
        return None
    record = dict(carrier["record"])
    if category is not None and carrier.get("class", category) != category:
        tally.changed["it was given another class"].append(where)
        record.pop("category_id", None)
    return record
