"""Read plain tables of boxes: one line for each box, the columns named in the first line."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mal.data.coco import CocoFile
from mal.data.csv_out import text_of_cell
from mal.data.images import image_path
from mal.errors import UserError
from mal.formats.builder import CocoBuilder
from mal.formats.options import ReadOptions
from mal.formats.pictures import picture_size
from mal.formats.tally import Tally

_COLUMNS = {
    "file_name": ("file_name", "filename", "image", "image_path", "path", "file"),
    "category": ("class", "label", "category", "class_name", "name"),
    "id": ("id", "annotation_id"),
}
_EDGES = (("xmin", "ymin", "xmax", "ymax"), ("x_min", "y_min", "x_max", "y_max"), ("x1", "y1", "x2", "y2"))
_EXTENTS = (("x", "y", "w", "h"), ("x", "y", "width", "height"), ("bbox_x", "bbox_y", "bbox_width", "bbox_height"))
_SIZES = (("image_width", "image_height"), ("img_width", "img_height"), ("width", "height"))
_HELP = "a table of boxes has a first line with image, class and xmin, ymin, xmax, ymax (or x, y, w, h)"

Row = dict[str, str]


def read_csv(path: Path, options: ReadOptions, tally: Tally) -> tuple[CocoFile, Path | None]:
    """Read a table of boxes, separated by commas, semicolons or tabs.

    Columns: image (or file_name, filename, path), class (or label, category), xmin, ymin, xmax, ymax (or x1 ...) or
    x, y, w, h; if wanted id, and width and height of the image. Any others are kept under ``attributes``.

    Args:
        path: the file.
        options: with ``images`` sizes come from the pictures, and one that is missing is an error.
        tally: notes broken records.

    Returns:
        The file, and the folder of the pictures if it is known. Images without a known size have none.

    Raises:
        UserError: a column is missing or a line is broken; the file and line are named.
    """
    images: dict[str, list[tuple[Row, int]]] = {}
    table = _rows(path, tally)
    columns = _Columns(list(next(table)[1]), path)
    for number, row in table:
        if not row[columns.file_name]:
            tally.broken(f"{path}, line {number}", f"the column {columns.file_name} is empty")
            continue
        images.setdefault(row[columns.file_name], []).append((row, number))
    builder = CocoBuilder()
    for file_name, rows in images.items():
        builder.image(file_name, _size(file_name, rows, columns, path, options))
        for row, number in rows:
            try:
                builder.annotation(*columns.box(row), columns.others(row))
            except ValueError as error:
                tally.broken(f"{path}, line {number}", str(error))
    return builder.build(path, tally), options.images


class _Columns:
    """Which column says what.

    Raises:
        UserError: one is missing.
    """

    def __init__(self, header: list[str], path: Path) -> None:
        def first(*names: str) -> str | None:
            return next((name for name in names if name in header), None)

        def whole(groups: tuple[tuple[str, ...], ...]) -> tuple[str, ...]:
            return next((names for names in groups if set(names) <= set(header)), ())

        self.edges, self.extent = whole(_EDGES), whole(_EXTENTS)
        file_name, category = first(*_COLUMNS["file_name"]), first(*_COLUMNS["category"])
        missing = [
            name
            for name, column in (("image", file_name), ("class", category), ("box", self.edges or self.extent))
            if not column
        ]
        if missing:
            raise UserError(f"{path}, line 1: no column for {' and '.join(missing)} among {', '.join(header)}: {_HELP}")
        assert file_name is not None
        assert category is not None
        self.file_name, self.category, self.id = file_name, category, first(*_COLUMNS["id"])
        used = set(self.edges or self.extent)
        self.size = whole(tuple(names for names in _SIZES if not used & set(names)))
        used |= {file_name, category, *([self.id] if self.id else []), *self.size}
        self._rest = [name for name in header if name not in used]

    def box(self, row: Row) -> tuple[str, tuple[float, float, float, float]]:
        """Class and x, y, w, h of a line.

        Raises:
            ValueError: it is broken.
        """
        if not row[self.category]:
            raise ValueError(f"the column {self.category} is empty")
        x, y, right, bottom = (_number(row, name) for name in self.edges or self.extent)
        width, height = (right - x, bottom - y) if self.edges else (right, bottom)
        if width <= 0 or height <= 0:
            raise ValueError(f"the box {', '.join(row[name] for name in self.edges or self.extent)} has no extent")
        return row[self.category], (x, y, width, height)

    def others(self, row: Row) -> dict[str, Any]:
        """The other keys of its record."""
        more: dict[str, Any] = {}
        if self.id and row[self.id]:
            more["id"] = int(row[self.id]) if row[self.id].isdecimal() else row[self.id]
        rest = {name: row[name] for name in self._rest if row[name]}
        return more | ({"attributes": rest} if rest else {})


def _rows(path: Path, tally: Tally) -> Iterator[tuple[int, Row]]:
    """Line numbers and cells by column name in small letters; the first line, with these names, too."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            head = file.readline()
            file.seek(0)
            reader = csv.reader(file, delimiter=max(",;\t", key=head.count), strict=True)
            header = [name.strip().lower() for name in next(reader, [])]
            if not any(header):
                raise UserError(f"{path} is empty: {_HELP}")
            yield 1, dict.fromkeys(header, "")
            for cells in reader:
                if not any(cells):
                    continue
                if len(cells) != len(header):
                    where = f"{path}, line {reader.line_num}"
                    tally.broken(where, f"{len(cells)} cells, and the first line has {len(header)}")
                    continue
                yield reader.line_num, dict(zip(header, map(_text, cells), strict=True))
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text (byte {error.start}): save it as UTF-8") from error
    except csv.Error as error:
        raise UserError(f"{path} is no table: {error}") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error


def _text(cell: str) -> str:
    return text_of_cell(cell.strip())


def _number(row: Row, name: str) -> float:
    try:
        value = float(row[name])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{name} is {row[name]!r}, not a number")
    return value


def _size(
    file_name: str, rows: list[tuple[Row, int]], columns: _Columns, path: Path, options: ReadOptions
) -> tuple[int, int] | None:
    if options.images is not None:
        return picture_size(image_path(options.images, file_name))
    if not columns.size:
        return None
    row, number = rows[0]
    if not all(row[name].isdecimal() for name in columns.size):
        raise UserError(f"{path}, line {number}: {' and '.join(columns.size)} are not whole numbers of pixels")
    width, height = (int(row[name]) for name in columns.size)
    return width, height
