"""The images of a file in columns: compact, and shared by processes as long as nobody writes to them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mal.data.json_column import JsonColumn
from mal.reading import AS_STORED, Exif, Reading


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
    """Image records by id. A record is made when it is asked for; what is kept is a dict of row numbers and arrays.

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
        """What sizes, boxes and masks of every record go by."""
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
        """Give a record the size in pixels that the file lacks."""
        self.sizes[self._rows[image_id]] = width, height
