"""All data of a report, from an evaluation or from a label file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mal.coco.coco_file import CocoFile
from mal.coco.tables import ImageRecord
from mal.masks.rle import Rle
from mal.report.demo_page import TrainingCurves
from mal.size_bins import BIN_ENDS

Column = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Instances:
    """N masks; a measure that is not known is NaN.

    Attributes:
        positions: (N,) int64, index in the file's annotations.
        annotation_ids: as in the file.
        images: the images that occur.
        image_rows: (N,) int64, which of ``images``.
        class_names: the classes that occur.
        class_numbers: (N,) int64, which of ``class_names``.
        xywh: (N, 4) float64, boxes in pixels of the image.
        measures: (N,) float64 by name, all 0..1: of :data:`MEASURES` those that are known for any mask.
        marks: why a mask is doubtful, by row.
    """

    positions: Rows
    annotation_ids: Sequence[Any]
    images: Sequence[ImageRecord]
    image_rows: Rows
    class_names: Sequence[str]
    class_numbers: Rows
    xywh: Column
    measures: dict[str, Column]
    marks: dict[int, str]

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def sizes(self) -> Rows:
        """Box sizes, (N,) int64: 0 small, 1 medium, 2 large."""
        return np.searchsorted(BIN_ENDS, self.xywh[:, 2] * self.xywh[:, 3])

    @property
    def lead(self) -> str | None:
        """The measure that the report is about: the IoU where there is one, else the score; None without either."""
        return next((name for name in ("iou", "score") if name in self.measures), None)

    def image(self, row: int) -> ImageRecord:
        """The image of a row."""
        return self.images[self.image_rows[row]]

    def class_name(self, row: int) -> str:
        """The class of a row."""
        return self.class_names[self.class_numbers[row]]


MEASURES = {
    "iou": "IoU",
    "score": "score",
    "boundary_iou": "boundary IoU",
    "dice": "Dice",
    "box_iou": "filled box",
    "ellipse_iou": "ellipse",
    "agreement": "agreement",
}
"""Names in words, in the order in which they are shown."""


def instances_of(
    coco: CocoFile,
    positions: Rows,
    classes: Sequence[str],
    columns: Mapping[str, Sequence[float]],
    marks: dict[int, str],
) -> Instances:
    """The masks of some annotations.

    Args:
        coco: the file.
        positions: (N,) int64, index in its annotations.
        classes: N names.
        columns: N numbers each, of :data:`MEASURES`; NaN where one is not known.
        marks: why a mask is doubtful, by row.
    """
    table = coco.table
    image_rows, image_numbers = numbered(table.image_rows[positions].tolist())
    class_names, class_numbers = numbered(classes)
    return Instances(
        positions=positions,
        annotation_ids=[table.ids[position] for position in positions.tolist()],
        images=[coco.images.at(row) for row in image_rows],
        image_rows=image_numbers,
        class_names=class_names,
        class_numbers=class_numbers,
        xywh=table.xywh[positions],
        measures=known_measures({name: np.array(values, np.float64) for name, values in columns.items()}),
        marks=marks,
    )


def known_measures(columns: dict[str, Column]) -> dict[str, Column]:
    """Those with a number in any row."""
    return {name: columns[name] for name in MEASURES if name in columns and not np.isnan(columns[name]).all()}


def numbered(values: Sequence[Any]) -> tuple[list[Any], Rows]:
    """The different values in the order of their first use, and which of them stands where, (N,) int64."""
    numbers: dict[Any, int] = {}
    rows = np.array([numbers.setdefault(value, len(numbers)) for value in values], np.int64)
    return list(numbers), rows


MaskPair = tuple[Rle | None, Rle | None]
"""A predicted mask and the true one, at the size of the image; None where there is none."""


@dataclass(frozen=True, slots=True)
class HeadlineMetric:
    """A metric of 0..1 at the head of the page.

    Attributes:
        name: what it is.
        value: of the model, or of the labels.
        interval: where it lies by the bootstrap, low and high.
        others: the same metric of other methods, by their names.
        note: a few words on what it says.
    """

    name: str
    value: float
    interval: tuple[float, float] | None = None
    others: Sequence[tuple[str, float]] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class ReportData:
    """Masks and what is known of them.

    Attributes:
        kind: what kind of report this is, in two words.
        title: the head line.
        summary: what was found, in a few sentences.
        facts: files and counts by name.
        headline_metrics: those at the head of the page.
        instances: the masks.
        img_dir: folder of their images.
        masks: the masks of a row of ``instances``.
        box_noise: what `mal evaluate --box-noise` found, as its file has it; None without.
        curves: of the training; None where it is not known.
    """

    kind: str
    title: str
    summary: str
    facts: Sequence[tuple[str, str]]
    headline_metrics: Sequence[HeadlineMetric]
    instances: Instances
    img_dir: Path
    masks: Callable[[int], MaskPair]
    box_noise: dict[str, Any] | None = None
    curves: TrainingCurves | None = None
