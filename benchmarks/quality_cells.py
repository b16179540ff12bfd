"""Cells of the table of mask quality: the figures of each box for one set, column and seed, a JSON file each."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mal.files import write_json
from mal.metrics.instance_file import InstanceRow

RULES_SEED = 0  # of columns without random numbers


@dataclass(frozen=True)
class CellKey:
    """What a cell measures.

    Attributes:
        name: of the set.
        column: see `benchmarks.quality_columns`.
        seed: of the training.
        fold: number of the fold; None for train and val as they are.
    """

    name: str
    column: str
    seed: int
    fold: int | None = None

    @property
    def place(self) -> Path:
        """Where files about it lie, without a suffix."""
        part = self.name if self.fold is None else f"{self.name}-fold{self.fold}"
        return Path(part) / f"{self.column}-{self.seed}"


@dataclass(frozen=True)
class Boxes:
    """Figures of N boxes, in the order of their ids.

    Attributes:
        ids, images, classes: of the file.
        areas: of the boxes, pixels.
        iou, boundary_iou: of the mask with the true one.
    """

    ids: list[str]
    images: list[str]
    classes: list[str]
    areas: list[float]
    iou: list[float]
    boundary_iou: list[float]

    @classmethod
    def of_rows(cls, rows: Iterable[InstanceRow]) -> Boxes:
        """Of the rows of ``instances.csv``."""
        lines = [
            (row.annotation_id, row.image_id, row.category, row.box_area, row.iou, row.boundary_iou) for row in rows
        ]
        return cls.of_lines(lines)

    @classmethod
    def of_lines(cls, lines: Iterable[tuple[str, str, str, float, float, float]]) -> Boxes:
        """Of one tuple a box, its values in the order of the attributes."""
        columns = [list(column) for column in zip(*sorted(lines, key=lambda line: line[0]), strict=True)]
        return cls(*(columns or [[] for _ in range(6)]))


@dataclass(frozen=True)
class Cell:
    """A measured cell.

    Attributes:
        commands: by which it was made.
        commit: version of the product.
        minutes: of training, wall clock; None without any.
        steps: of training.
        boxes_per_second: masks made, reading of pictures included.
        boxes: see :class:`Boxes`.
    """

    key: CellKey
    commands: list[str]
    commit: str
    minutes: float | None
    steps: int | None
    boxes_per_second: float
    boxes: Boxes

    def write(self, folder: Path) -> None:
        """Write it to its file."""
        path = cell_path(folder, self.key)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(asdict(self), path)


def cell_path(folder: Path, key: CellKey) -> Path:
    """The file of a cell."""
    return folder / "cells" / f"{key.place}.json"


def read_cell(folder: Path, key: CellKey) -> Cell | None:
    """Read a cell; None if it is missing."""
    path = cell_path(folder, key)
    if not path.exists():
        return None
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return Cell(**{**found, "key": CellKey(**found["key"]), "boxes": Boxes(**found["boxes"])})
