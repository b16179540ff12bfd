"""A small evaluation for the tests of this folder: three images, two classes, masks drawn by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mal.coco.boxes import Boxes, select_boxes
from mal.coco.coco_file import CocoFile
from mal.masks.rle import Rle, rle_from_mask, rle_from_segmentation
from mal.metrics.instance_table import InstanceTable, concatenate_tables, instance_row
from mal.metrics.summary import ClassNumbers
from tests.coco.coco_samples import annotation, coco_file, document

SIZE = 64


def block(x0: int, y0: int, x1: int, y1: int) -> Rle:
    """A filled rectangle, end exclusive, in an image of SIZE x SIZE."""
    mask = np.zeros((SIZE, SIZE), bool)
    mask[y0:y1, x0:x1] = True
    return rle_from_mask(mask)


def truth(number: int, image: int, category: int, **changes: Any) -> dict[str, Any]:
    """A box of 20 x 20 whose left half is the object."""
    return annotation(
        id=number,
        image_id=image,
        category_id=category,
        bbox=[10.0, 10.0, 20.0, 20.0],
        segmentation=block(10, 10, 20, 30),
        **changes,
    )


def evaluated_file(folder: Path, *more: Any) -> CocoFile:
    """Two nuts and a bolt in three images, and what else is given."""
    images = [{"id": number, "file_name": f"{number}.png", "width": SIZE, "height": SIZE} for number in (1, 2, 3)]
    categories = [{"id": 3, "name": "nut"}, {"id": 8, "name": "bolt"}]
    records = [truth(10, 1, 3), truth(11, 2, 3), truth(12, 3, 8)]
    return coco_file(folder, document(*records, *more, images=images, categories=categories))


def evaluated(coco: CocoFile, predicted: dict[int, Rle], **row: Any) -> tuple[InstanceTable, ClassNumbers, Boxes]:
    """The table of masks by position, and what belongs to it."""
    boxes, _ = select_boxes(coco)
    classes = ClassNumbers(coco, boxes)
    rows = []
    for box in boxes:
        if box.position in predicted:
            true_mask = rle_from_segmentation(coco.annotations[box.position]["segmentation"], SIZE, SIZE)
            number = classes.number(box.category_id)
            rows.append(instance_row(box, number, predicted[box.position], true_mask, **{"score": 0.5, **row}))
    return concatenate_tables(rows[::-1]), classes, boxes


PERFECT, HALF, NOTHING = block(10, 10, 20, 30), block(10, 10, 20, 20), block(40, 40, 41, 41)
