"""Columnar tables of images and annotations; compact, and shared with forked workers."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mal.reading import AS_STORED, Exif, Reading


class JsonColumn:
    """A column of JSON values: 64-bit integers in an array, all others in a dict.

    Attributes:
        others: by row, the values that are no 64-bit integers.
    """

    def __init__(self) -> None:
        self._integers = array("q")
        self.others: dict[int, Any] = {}

    def append(self, value: Any) -> None:
        """Add a row."""
        if type(value) is not int or not -(2**63) <= value < 2**63:
            self.others[len(self._integers)] = value
            value = 0
        self._integers.append(value)

    @property
    def integers(self) -> npt.NDArray[np.int64]:
        """(N,) int64; 0 in the rows of ``others``. No row can be added while someone holds it."""
        return np.frombuffer(self._integers, np.int64)

    def __len__(self) -> int:
        return len(self._integers)

    def __getitem__(self, row: int) -> Any:
        return self.others[row] if row in self.others else self._integers[row]


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One usable record of ``images``.

    Attributes:
        id: as in the file; numbers and strings never match each other.
        file_name: as in the file, relative to the image folder.
        width, height: pixels, as ``reading.exif`` says; both 0 while unknown, because the record has no valid size (see
            `mal.data.images.fill_missing_sizes`).
        position: index in the file's ``images`` list.
        reading: how its picture is read; size, boxes and masks are those of the pixels that this gives.
    """

    id: int | str
    file_name: str
    width: int
    height: int
    position: int
    reading: Reading = AS_STORED

    @property
    def exif(self) -> Exif:
        """Whether its size is that of the stored pixels or of the picture as viewers turn it."""
        return self.reading.exif

    @property
    def has_size(self) -> bool:
        """Whether width and height are known."""
        return self.width > 0


class ImageTable(Mapping[int | str, ImageRecord]):
    """Image records by id, created on access from arrays and a dict of row numbers.

    Args:
        records: at most one for each id; rows are numbered in their order.

    Attributes:
        sizes: (N, 2) int64, width and height of each row in pixels, 0 while unknown.
        positions: (N,) int64, index of each row in the file's ``images`` list.
        reading: of every record; may be set until the first is asked for.
    """

    def __init__(self, records: Collection[ImageRecord] = ()) -> None:
        self.reading = AS_STORED
        self._rows: dict[int | str, int] = {record.id: row for row, record in enumerate(records)}
        self._ids = JsonColumn()
        for record in records:
            self._ids.append(record.id)
        self.sizes = np.array([(record.width, record.height) for record in records], np.int64).reshape(-1, 2)
        self.positions = np.array([record.position for record in records], np.int64)
        names = [record.file_name.encode() for record in records]
        self._names = b"".join(names)
        self._name_ends = np.cumsum([0, *map(len, names)])

    @property
    def exif(self) -> Exif:
        """The orientation that sizes, boxes and masks of all records refer to: stored or upright."""
        return self.reading.exif

    @exif.setter
    def exif(self, exif: Exif) -> None:
        self.reading = replace(self.reading, exif=exif)

    def __getitem__(self, image_id: int | str) -> ImageRecord:
        return self.at(self._rows[image_id])

    def __contains__(self, image_id: object) -> bool:
        return image_id in self._rows

    def __iter__(self) -> Iterator[int | str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def row(self, image_id: Any) -> int:
        """The row of an id; -1 where there is no such image, as for a JSON value that is no id."""
        if isinstance(image_id, bool) or not isinstance(image_id, (int, float, str)):
            return -1
        return self._rows.get(image_id, -1)  # type: ignore[arg-type]

    def at(self, row: int) -> ImageRecord:
        """The record of a row."""
        start, end = self._name_ends[row : row + 2]
        width, height = self.sizes[row].tolist()
        name = self._names[start:end].decode()
        return ImageRecord(self._ids[row], name, width, height, int(self.positions[row]), self.reading)

    def set_size(self, image_id: int | str, width: int, height: int) -> None:
        """Set the size in pixels of a record for which the file has none."""
        self.sizes[self._rows[image_id]] = width, height


_NO_IMAGES = ImageTable()
_NO_BOX = array("d", [np.nan] * 4)
_LARGEST = 1e300  # sums of two coordinates stay finite


class AnnotationTable:
    """All annotations in columns: N rows in file order, about 60 bytes a row, shared with forked workers.

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
