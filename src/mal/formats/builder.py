"""Build a COCO document from records of another format; assigns missing and duplicate ids."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as mask_utils

from mal.coco.coco_file import CocoFile, indexed, is_id
from mal.formats.by_image import Annotation
from mal.formats.tally import Tally
from mal.masks.rle import Rle, rle_area, rle_digest

Json = dict[str, Any]


@dataclass
class _Image:
    record: Json
    annotations: list[tuple[str, Json]] = field(default_factory=list)


class CocoBuilder:
    """Collect images and annotations, then build the file; unique ids of the records are kept.

    Args:
        names: class names that are known from the start, in their order.
    """

    def __init__(self, names: Sequence[str] = ()) -> None:
        self._categories: dict[str, Json] = {name: {"name": name} for name in names}
        self._images: list[_Image] = []

    def image(self, file_name: str, size: tuple[int, int] | None, more: Json | None = None) -> None:
        """Begin the next image; ``size`` is its width and height in pixels, ``more`` the other keys of its record."""
        record: Json = {"file_name": file_name}
        if size is not None:
            record |= {"width": size[0], "height": size[1]}
        self._images.append(_Image((more or {}) | record))

    def annotation(self, category: str, xywh: Sequence[float], more: Json | None = None) -> None:
        """Add an annotation to the image that was begun last.

        Args:
            category: the name of its class.
            xywh: its box in pixels.
            more: other keys of the record; ``category_id`` becomes the id of the class if that is free.
        """
        known = self._categories.setdefault(category, {"name": category})
        record = dict(more or {})
        wanted = record.pop("category_id", None)
        if wanted is not None:
            known.setdefault("id", wanted)
        self._images[-1].annotations.append((category, record | {"bbox": list(xywh)}))

    def categories(self, records: Iterable[Json]) -> None:
        """Add class records, kept unchanged; each has a ``name``."""
        for record in records:
            self._categories.setdefault(str(record["name"]), dict(record))

    def build(self, path: Path, tally: Tally, document: Json | None = None) -> CocoFile:
        """Build the file, as if it had been read from ``path``.

        Args:
            path: for messages.
            tally: notes each record whose id was not free.
            document: other keys of the document.
        """
        _give_ids([image.record for image in self._images], "image", tally)
        _give_ids(list(self._categories.values()), "category", tally)
        annotations = list(self._annotations())
        _give_ids(annotations, "annotation", tally)
        images = [image.record for image in self._images]
        parts = {"images": images, "annotations": annotations, "categories": list(self._categories.values())}
        return indexed(path, (document or {}) | parts)

    def _annotations(self) -> Iterator[Json]:
        for image in self._images:
            for category, record in image.annotations:
                ids = {"image_id": image.record["id"], "category_id": self._categories[category]["id"]}
                yield {"id": None, "iscrowd": 0} | record | ids


def _give_ids(records: list[Json], kind: str, tally: Tally) -> None:
    """Keep unique ids; give the other records new ids after the largest."""
    taken: set[Any] = set()
    without: list[Json] = []
    for record in records:
        wanted = record.get("id")
        if is_id(wanted) and wanted not in taken:
            taken.add(wanted)
            continue
        if wanted is not None:
            tally.changed[f"the id of another {kind}, so that it got a new one"].append(f"{kind} {wanted}")
        without.append(record)
    numbers = itertools.count(max((int(value) for value in taken if isinstance(value, (int, float))), default=0) + 1)
    for record, number in zip(without, numbers, strict=False):
        record["id"] = number


CARRIED = "mal"  # the key under which a shape or region carries its record


def carried(annotation: Annotation, rle: Rle | None) -> Json:
    """The data that a shape carries through another tool: its record without the mask, and a hash to detect edits.

    Args:
        annotation: the one that is written.
        rle: its mask as it is written; None where it is written without one.
    """
    rest = {key: value for key, value in annotation.record.items() if key not in ("segmentation", "image_id")}
    digest = {"mask": rle_digest(rle)} if rle is not None else {}
    return {"record": rest, "class": annotation.category} | digest


def restored(carrier: Any, rle: Rle, where: str, tally: Tally, category: str | None = None) -> tuple[list[float], Json]:
    """Restore the box and the other keys of an annotation with a mask.

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
    """As `restored`, for an annotation with a box only; sides within ``tolerance`` pixels count as unedited."""
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
    """The record that a shape carries; None for a new shape."""
    if not isinstance(carrier, dict) or not isinstance(carrier.get("record"), dict):
        return None
    record = dict(carrier["record"])
    if category is not None and carrier.get("class", category) != category:
        tally.changed["it was given another class"].append(where)
        record.pop("category_id", None)
    return record
