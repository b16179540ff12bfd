"""Records that a tool of people carries along with their shapes, and what becomes of them when a shape was edited."""

from __future__ import annotations

from typing import Any

import numpy as np
from pycocotools import mask as mask_utils

from mal.formats.by_image import Json
from mal.formats.tally import Tally
from mal.masks.rle import Rle, rle_area

CARRIED = "mal"  # the key under which a shape or region carries its record


def carried(record: Json, rle: Rle | None) -> Json:
    """What a tool carries along: the record without its mask, and how many pixels the written mask has."""
    rest = {key: value for key, value in record.items() if key not in ("segmentation", "image_id")}
    return {"record": rest} | ({"pixels": rle_area(rle)} if rle is not None else {})


def restored(carrier: Any, rle: Rle, where: str, tally: Tally) -> tuple[list[float], Json]:
    """The box and the other keys of an annotation.

    Args:
        carrier: as of `carried`, or anything else where the shape is a new one.
        rle: its mask.
        where: its name, for the tally.
        tally: notes shapes that were edited: their ``bbox`` and ``area`` are those of the mask.
    """
    box: list[float] = np.asarray(mask_utils.toBbox(rle), np.float64).tolist()
    of_mask = {"segmentation": rle, "area": rle_area(rle)}
    record = carrier.get("record") if isinstance(carrier, dict) else None
    if not isinstance(record, dict):
        return box, of_mask
    rest = {key: value for key, value in record.items() if key != "bbox"}
    if carrier.get("pixels") == rle_area(rle):
        return record.get("bbox") or box, of_mask | rest
    tally.changed["the mask was edited: its box and area go by the new one"].append(where)
    return box, rest | of_mask
