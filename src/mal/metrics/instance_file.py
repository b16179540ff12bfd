"""`instances.csv` and `classes.csv`: metrics of each box and each class."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import astuple, dataclass, field, fields
from pathlib import Path
from typing import Any

from mal.coco.coco_file import CocoFile, show
from mal.errors import UserError
from mal.files import text_of_cell, write_csv
from mal.metrics.instance_table import ELLIPSE, FILLED_BOX, METHODS, MODEL, InstanceTable
from mal.metrics.iou import dice_from_iou
from mal.metrics.results import EvaluationFigures
from mal.metrics.summary import ClassNumbers
from mal.size_bins import SIZE_NAMES, size_bin


def _column(description: str) -> Any:
    return field(metadata={"description": description})


@dataclass(frozen=True, slots=True)
class InstanceRow:
    """A row of ``instances.csv``: one evaluated box."""

    annotation_index: int = _column("position in the file's list of annotations, from 0; unique, while ids need not be")
    annotation_id: str = _column("as in the file; a text stands in quotation marks")
    image_id: str = _column("likewise")
    file_name: str = _column("of the image, as in the file")
    category_id: str = _column("as `annotation_id`")
    category: str = _column("name of the class")
    x: float = _column("the box as in the file, pixels")
    y: float = _column("likewise")
    w: float = _column("likewise")
    h: float = _column("likewise")
    box_area: float = _column("pixels of the box inside the image; `size` goes by it")
    mask_area: int = _column("pixels of the predicted mask")
    true_area: int = _column("pixels of the true mask")
    size: str = _column("`small` (up to 32² pixels), `medium` (up to 96²) or `large`")
    score: float = _column("how good the mask seems to be without the true one, 0..1")
    agreement: float | None = _column("IoU of the student's and the teacher's mask; empty if not asked for")
    iou: float = _column("IoU with the true mask, as the rest")
    boundary_iou: float = _column("boundary IoU, dilation ratio 0.02")
    dice: float = _column("Dice coefficient")
    box_iou_baseline: float = _column("IoU of the filled box")
    box_boundary_iou_baseline: float = _column("its boundary IoU")
    ellipse_iou: float = _column("IoU of the ellipse inscribed in the box")
    ellipse_boundary_iou: float = _column("its boundary IoU")


CLASS_COLUMNS = {
    "category_id": "as in the file",
    "category": "name of the class",
    "boxes": "number of evaluated boxes",
    "images": "number of images that hold them",
    "miou": "mean IoU of the model",
    "box_miou": "mean IoU of the filled box",
    "ellipse_miou": "mean IoU of the ellipse inscribed in the box",
    "boundary_iou": "mean boundary IoU of the model",
    "dice": "mean Dice coefficient of the model",
    "share_iou_50": "share of the model's masks with IoU of at least 0.5",
    "share_iou_75": "likewise 0.75",
    "share_iou_90": "likewise 0.9",
}
"""Columns of ``classes.csv`` and what they mean."""


def instance_rows(coco: CocoFile, table: InstanceTable, classes: ClassNumbers) -> Iterator[InstanceRow]:
    """Rows of the file for rows of the table."""
    for row in table:
        position = int(row["position"])
        image = coco.images.at(int(coco.table.image_rows[position]))
        category = int(row["category"])
        iou = dict(zip(METHODS, row["iou"].tolist(), strict=True))
        boundary_iou = dict(zip(METHODS, row["boundary_iou"].tolist(), strict=True))
        x, y, w, h = coco.table.xywh[position].tolist()
        yield InstanceRow(
            annotation_index=position,
            annotation_id=show(coco.table.ids[position]),
            image_id=show(image.id),
            file_name=image.file_name,
            category_id=show(classes.ids[category]),
            category=classes.names[category],
            x=x,
            y=y,
            w=w,
            h=h,
            box_area=float(row["box_area"]),
            mask_area=int(row["mask_area"]),
            true_area=int(row["true_area"]),
            size=SIZE_NAMES[size_bin(float(row["box_area"]))],
            score=float(row["score"]),
            agreement=None if math.isnan(row["agreement"]) else float(row["agreement"]),
            iou=iou[MODEL],
            boundary_iou=boundary_iou[MODEL],
            dice=float(dice_from_iou(iou[MODEL])),
            box_iou_baseline=iou[FILLED_BOX],
            box_boundary_iou_baseline=boundary_iou[FILLED_BOX],
            ellipse_iou=iou[ELLIPSE],
            ellipse_boundary_iou=boundary_iou[ELLIPSE],
        )


def write_instances(rows: Iterable[InstanceRow], path: Path) -> None:
    """Write ``instances.csv``.

    Raises:
        UserError: it cannot be written.
    """
    write_csv([column.name for column in fields(InstanceRow)], (astuple(row) for row in rows), path)


def read_instances(path: Path) -> list[InstanceRow]:
    """Read what :func:`write_instances` wrote; columns that are not known here are passed over.

    Raises:
        UserError: it cannot be read.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [_parse_row(record) for record in csv.DictReader(file)]
    except (OSError, KeyError, ValueError) as error:
        raise UserError(f"{path}: is not a file of instances that mal evaluate wrote: {error}") from error


def write_classes(figures: EvaluationFigures, classes: ClassNumbers, path: Path) -> None:
    """Write ``classes.csv``, the class with most boxes first.

    Raises:
        UserError: it cannot be written.
    """
    ids = dict(zip(classes.names, classes.ids, strict=True))
    by_size = sorted(figures.model.by_class.items(), key=lambda item: -item[1].n)
    rows = (
        (
            show(ids[name]),
            name,
            own.n,
            own.images,
            own.miou,
            figures.box.by_class[name].miou,
            figures.ellipse.by_class[name].miou,
            own.boundary_iou,
            own.dice,
            own.share_iou_50,
            own.share_iou_75,
            own.share_iou_90,
        )
        for name, own in by_size
    )
    write_csv(list(CLASS_COLUMNS), rows, path)


def _number_or_none(text: str) -> float | None:
    return float(text) if text else None


_READ: dict[str, Callable[[str], Any]] = {
    "int": int,
    "float": float,
    "str": text_of_cell,
    "float | None": _number_or_none,
}


def _parse_row(record: dict[str, str]) -> InstanceRow:
    return InstanceRow(**{column.name: _READ[str(column.type)](record[column.name]) for column in fields(InstanceRow)})
