"""Read CSV tables of boxes: one line per box, column names in the first line."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from mal.coco.coco_file import CocoFile
from mal.data.images import image_path
from mal.errors import UserError
from mal.file_kinds import HEAD_BYTES, said_kind
from mal.files import text_of_cell
from mal.formats.builder import CocoBuilder
from mal.formats.by_image import NO_CLASSES
from mal.formats.csv_columns import Columns, Row, Xywh
from mal.formats.folders import ReadOptions, named_picture, picture_size
from mal.formats.tally import Tally

_HELP = "a table of boxes has a first line with image, class and xmin, ymin, xmax, ymax (or x, y, w, h, or bbox)"
_SHARES = "all edges lie between 0 and 1: these look like shares of the image; --normalized reads them so"
_NO_CLASS = f'a table without a column for the class: all boxes get "{NO_CLASSES}"'


def read_csv(path: Path, options: ReadOptions, tally: Tally) -> tuple[CocoFile, Path | None]:
    """Read a table of boxes, separated by commas, semicolons or tabs.

    Columns are as of `mal.formats.csv_columns`: those of LabelImg's and TensorFlow's tables, of Kaggle's and of Open
    Images. A line without a box is an image without one. Columns that are not known are kept under ``attributes``.

    Args:
        path: the file.
        options: with ``images`` sizes come from the pictures, and one that is missing is an error; ``normalized`` says
            that boxes are shares of the image.
        tally: notes broken records.

    Returns:
        The file, and the folder of the pictures if it is known. Images without a known size have none.

    Raises:
        UserError: a column is missing, a line is broken (the file and line are named), or the boxes look normalized.
    """
    table = _rows(path, tally)
    columns = Columns(list(next(table)[1]), f"{path}, line 1", _HELP)
    images: dict[str, list[tuple[Row, int]]] = {}
    for number, row in table:
        if not row[columns.file_name]:
            tally.broken(f"{path}, line {number}", f"the column {columns.file_name} is empty")
            continue
        images.setdefault(row[columns.file_name], []).append((row, number))
    builder = CocoBuilder()
    boxes: list[Xywh] = []
    for file_name, rows in images.items():
        name = named_picture(options.images, file_name) if options.images is not None else file_name
        size = _size(name, rows, columns, path, options)
        builder.image(name, size)
        for row, number in rows:
            try:
                boxes += _add(row, size, columns, options, builder)
            except ValueError as error:
                tally.broken(f"{path}, line {number}", str(error))
    if boxes and not options.normalized and all(_is_in_unit_square(box) for box in boxes):
        raise UserError(f"{path}: {_SHARES}")
    if boxes and columns.category is None:
        tally.changed[_NO_CLASS].append(path.name)
    return builder.build(path, tally), options.images


def _add(
    row: Row, size: tuple[int, int] | None, columns: Columns, options: ReadOptions, builder: CocoBuilder
) -> list[Xywh]:
    """Add the box of a line, if it has one.

    Raises:
        ValueError: the line is broken.
    """
    box = columns.box(row)
    if box is None:
        return []
    if options.normalized:
        if size is None:
            raise ValueError("the size of its image is not known: --images DIR takes it from the picture")
        if not _is_in_unit_square(box, slack=0.01):
            raise ValueError("the box is no share of the image, 0 to 1")
        box = (box[0] * size[0], box[1] * size[1], box[2] * size[0], box[3] * size[1])
    builder.annotation(columns.read_class(row) or NO_CLASSES, [round(side, 4) for side in box], columns.others(row))
    return [box]


def _is_in_unit_square(box: Xywh, slack: float = 0.0) -> bool:
    x, y, width, height = box
    return min(x, y) >= -slack and max(x + width, y + height) <= 1 + slack


def _rows(path: Path, tally: Tally) -> Iterator[tuple[int, Row]]:
    """Line numbers and cells by column name in small letters; the first line, with these names, too."""
    if path.exists() and not path.is_file():
        raise UserError(f"{path} is no plain file: a table of boxes is expected")
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
                texts = (text_of_cell(cell.strip()) for cell in cells)
                yield reader.line_num, dict(zip(header, texts, strict=True))
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} {_foreign_kind(path) or f'is not UTF-8 text (byte {error.start}): save it as UTF-8'}"
        ) from error
    except csv.Error as error:
        raise UserError(f"{path} {_foreign_kind(path) or f'is no table: {error}'}") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error


def _foreign_kind(path: Path) -> str | None:
    with path.open("rb") as file:
        return said_kind(file.read(HEAD_BYTES), "a table of boxes", "text")


def _size(
    file_name: str, rows: list[tuple[Row, int]], columns: Columns, path: Path, options: ReadOptions
) -> tuple[int, int] | None:
    if options.images is not None:
        return picture_size(image_path(options.images, file_name), options.exif)
    row, number = rows[0]
    try:
        return columns.image_size(row)
    except ValueError as error:
        raise UserError(f"{path}, line {number}: {error}") from error
