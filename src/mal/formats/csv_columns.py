"""Recognize the columns of a CSV table by the names that tools and data sets use."""

from __future__ import annotations

import math
import re
from typing import Any

from mal.coco.coco_file import show
from mal.errors import UserError

Row = dict[str, str]
Xywh = tuple[float, float, float, float]

# In the order in which they are asked for: a table may have a name and a number of its class.
_FILE_NAMES = (
    "file_name", "filename", "image", "image_path", "path", "file", "image_name", "imagename", "imageid", "image_id",
    "img_name", "img_path", "img", "filepath", "file_path", "image_filename", "patientid",
)  # fmt: skip
_CATEGORIES = (
    "class", "label", "category", "class_name", "labelname", "label_name", "category_name", "classname", "name",
    "class_id", "label_id", "category_id",
)  # fmt: skip
_IDS = ("id", "annotation_id")
_EDGES = (("xmin", "ymin", "xmax", "ymax"), ("x_min", "y_min", "x_max", "y_max"), ("x1", "y1", "x2", "y2"))
_EXTENTS = (("x", "y", "w", "h"), ("x", "y", "width", "height"), ("bbox_x", "bbox_y", "bbox_width", "bbox_height"))
_LISTS = ("bbox",)
_SIZES = (("image_width", "image_height"), ("img_width", "img_height"), ("width", "height"))
_NOTHING = ("", "nan", "none", "null", "na")


class Columns:
    """The recognized columns of a table.

    Args:
        header: the names of the columns, in small letters.
        where: the place of the header, for messages.
        help_text: what a table must have.

    Attributes:
        file_name: the column of the picture.
        category: that of the class; None where there is none.

    Raises:
        UserError: one is missing.
    """

    def __init__(self, header: list[str], where: str, help_text: str) -> None:
        def first(names: tuple[str, ...]) -> str | None:
            return next((name for name in names if name in header), None)

        def whole(groups: tuple[tuple[str, ...], ...]) -> tuple[str, ...]:
            return next((names for names in groups if set(names) <= set(header)), ())

        self._edges, self._extent, self._list = whole(_EDGES), whole(_EXTENTS), first(_LISTS)
        self._box = self._edges or self._extent or ((self._list,) if self._list else ())
        file_name = first(_FILE_NAMES)
        missing = [name for name, column in (("image", file_name), ("box", self._box)) if not column]
        if file_name is None or missing:
            raise UserError(f"{where}: no column for {' and '.join(missing)} among {', '.join(header)}: {help_text}")
        self.file_name, self.category, self._id = file_name, first(_CATEGORIES), first(_IDS)
        self._size = whole(tuple(names for names in _SIZES if not set(self._box) & set(names)))
        used = {file_name, self.category, self._id, *self._box, *self._size}
        self._rest = [name for name in header if name not in used]

    def box(self, row: Row) -> Xywh | None:
        """x, y, width and height of a line; None where it has no box.

        Raises:
            ValueError: it is broken.
        """
        texts = [row[name] for name in self._box]
        if all(text.lower() in _NOTHING for text in texts):
            return None
        x, y, right, bottom = self._listed(texts[0]) if len(texts) == 1 else self._numbers(texts)
        width, height = (right - x, bottom - y) if self._edges else (right, bottom)
        if width <= 0 or height <= 0:
            raise ValueError(f"the box {', '.join(texts)} has no extent")
        return x, y, width, height

    def read_class(self, row: Row) -> str | None:
        """The class of a line; None in a table without classes.

        Raises:
            ValueError: it is empty.
        """
        if self.category is None:
            return None
        if not row[self.category]:
            raise ValueError(f"the column {self.category} is empty")
        return row[self.category]

    def others(self, row: Row) -> dict[str, Any]:
        """The other keys of the record of a line."""
        more: dict[str, Any] = {}
        if self._id and row[self._id]:
            more["id"] = int(row[self._id]) if _is_plain_number(row[self._id]) else row[self._id]
        rest = {name: row[name] for name in self._rest if row[name]}
        return more | ({"attributes": rest} if rest else {})

    def image_size(self, row: Row) -> tuple[int, int] | None:
        """Width and height of the image of a line; None in a table without sizes.

        Raises:
            ValueError: they are no numbers of pixels.
        """
        if not self._size:
            return None
        width, height = (_parse_number(name, row[name]) for name in self._size)
        if not (width.is_integer() and height.is_integer() and 0 < width < 2**31 and 0 < height < 2**31):
            raise ValueError(f"{' and '.join(self._size)} are not whole numbers of pixels")
        return int(width), int(height)

    def _numbers(self, texts: list[str]) -> Xywh:
        first, second, third, fourth = (_parse_number(name, text) for name, text in zip(self._box, texts, strict=True))
        return first, second, third, fourth

    def _listed(self, text: str) -> Xywh:
        """Kaggle's "[x, y, width, height]" in one cell."""
        words = re.split(r"[\s,;]+", text.strip("[]() "))
        if len(words) != 4:
            raise ValueError(f"{self._list} is {show(text)}, not [x, y, width, height]")
        first, second, third, fourth = (_parse_number(str(self._list), word) for word in words)
        return first, second, third, fourth


def _parse_number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{name} is {text!r}, not a number")
    return value


def _is_plain_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 19  # a longer one is a text that looks like a number
