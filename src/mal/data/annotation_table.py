"""Annotations in columns: what their records say, as far as labelling needs it in numbers."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import Any

import numpy as np

from mal.data.image_table import ImageTable
from mal.data.json_column import JsonColumn

_NO_IMAGES = ImageTable()
_NO_BOX = array("d", [np.nan] * 4)
_LARGEST = 1e300  # sums of two coordinates stay finite


class AnnotationTable:
    """The columns, N rows in file order; some 60 bytes a row. A worker process that is forked shares them.

    Args:
        annotations: the records, and whatever else the list holds; read once from start to end.
        images: those of the file.

    Attributes:
        ids, category_ids: of any JSON type; None where a record has none.
        image_rows: (N,) int64, row in ``images``; -1 where the image is not there.
        xywh: (N, 4) float64, the box as the file has it; NaN where it has none with a finite place and extent.
        is_group: (N,) bool, whether ``iscrowd`` is 1.
        is_odd_group: (N,) bool, whether ``iscrowd`` is there and neither 0 nor 1.
        has_mask: (N,) bool, whether the file has a mask for it, readable or not.
    """

    def __init__(self, annotations: Iterable[Any] = (), images: ImageTable = _NO_IMAGES) -> None:
        self.ids, self.category_ids = JsonColumn(), JsonColumn()
        image_rows, numbers = array("q"), array("d")
        is_group, is_odd_group, has_mask = bytearray(), bytearray(), bytearray()
        for entry in annotations:
            record = entry if isinstance(entry, dict) else {}
            self.ids.append(record.get("id"))
            self.category_ids.append(record.get("category_id"))
            image_rows.append(images.row(record.get("image_id")))
            numbers += _numbers(record.get("bbox"))
            is_crowd = record.get("iscrowd", 0)
            is_group.append(is_crowd == 1)
            is_odd_group.append(is_crowd not in (0, 1))
            has_mask.append(bool(record.get("segmentation")))
        self.image_rows = np.array(image_rows, np.int64)
        self.xywh = np.array(numbers, np.float64).reshape(-1, 4)
        self.xywh[~_is_box(self.xywh)] = np.nan
        self.is_group = np.array(is_group, np.bool_)
        self.is_odd_group = np.array(is_odd_group, np.bool_)
        self.has_mask = np.array(has_mask, np.bool_)

    def __len__(self) -> int:
        return len(self.ids)


def _numbers(bbox: Any) -> array[float]:
    try:
        numbers = array("d", bbox)
    except (TypeError, OverflowError):
        return _NO_BOX
    return numbers if len(numbers) == 4 and bool not in map(type, bbox) else _NO_BOX


def _is_box(xywh: np.ndarray) -> np.ndarray:
    return (np.abs(xywh) < _LARGEST).all(axis=1) & (xywh[:, 2:] > 0).all(axis=1)
