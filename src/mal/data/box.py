"""A box to be cropped, and many of them in arrays that processes share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from mal.data.annotation_table import AnnotationTable
from mal.data.image_table import ImageRecord, ImageTable


@dataclass(frozen=True, slots=True)
class Box:
    """One annotation's box, ready to be cropped.

    Attributes:
        position: index in the file's ``annotations`` list; unique, while ids need not be.
        annotation_id: as in the file.
        image: the record of its image.
        category_id: as in the file; may be unknown to ``categories`` or None.
        xyxy: x0, y0, x1, y1 in float pixels of the full image, clipped to it, with x0 < x1 and y0 < y1.
        xywh: the box as the file has it, not clipped.
    """

    position: int
    annotation_id: Any
    image: ImageRecord
    category_id: Any
    xyxy: tuple[float, float, float, float]
    xywh: tuple[float, float, float, float]

    @property
    def visible_size(self) -> tuple[float, float]:
        """Width and height of the clipped box in pixels."""
        width, height = _visible_sizes(np.array([self.xyxy]), np.array([self.xywh]))[0].tolist()
        return width, height

    @property
    def area(self) -> float:
        """Area of the clipped box in pixels of the image, which the size bins go by."""
        width, height = self.visible_size
        return width * height


class Boxes(Sequence[Box]):
    """Boxes in arrays; a `Box` is made when it is asked for.

    A worker process that is forked reads the arrays of its parent, since nobody writes to them.

    Args:
        annotations: all of the file.
        images: all of the file.
        positions: (N,) int64, the annotations that are boxes, in the order wanted.
        xyxy: (N, 4) float64, these boxes clipped to their images.

    Attributes:
        positions, xyxy: as given.
    """

    def __init__(
        self,
        annotations: AnnotationTable,
        images: ImageTable,
        positions: npt.NDArray[np.int64],
        xyxy: npt.NDArray[np.float64],
    ) -> None:
        self._annotations = annotations
        self._images = images
        self.positions = positions
        self.xyxy = xyxy

    def __len__(self) -> int:
        return len(self.positions)

    @overload
    def __getitem__(self, index: int) -> Box: ...

    @overload
    def __getitem__(self, index: slice) -> list[Box]: ...

    def __getitem__(self, index: int | slice) -> Box | list[Box]:
        rows = range(len(self))[index]
        return self._box(rows) if isinstance(rows, int) else [self._box(row) for row in rows]

    def _box(self, row: int) -> Box:
        position = int(self.positions[row])
        return Box(
            position=position,
            annotation_id=self._annotations.ids[position],
            image=self._images.at(int(self._annotations.image_rows[position])),
            category_id=self._annotations.category_ids[position],
            xyxy=tuple(self.xyxy[row].tolist()),
            xywh=tuple(self._annotations.xywh[position].tolist()),
        )

    @property
    def visible_sizes(self) -> npt.NDArray[np.float64]:
        """(N, 2): width and height of the clipped boxes in pixels."""
        return _visible_sizes(self.xyxy, self._annotations.xywh[self.positions])

    @property
    def has_mask(self) -> npt.NDArray[np.bool_]:
        """(N,) bool: whether the file has masks for these boxes, readable or not."""
        return self._annotations.has_mask[self.positions]

    @property
    def image_rows(self) -> npt.NDArray[np.int64]:
        """(N,) int64: the same number for boxes of the same image."""
        return self._annotations.image_rows[self.positions]

    @property
    def images(self) -> list[ImageRecord]:
        """The images that hold these boxes, in file order."""
        return [self._images.at(row) for row in np.unique(self.image_rows).tolist()]

    def take(self, rows: npt.NDArray[np.int64]) -> Boxes:
        """These boxes, in this order."""
        return Boxes(self._annotations, self._images, self.positions[rows], self.xyxy[rows])


def _visible_sizes(xyxy: npt.NDArray[np.float64], xywh: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    start, end, size = xyxy[:, :2], xyxy[:, 2:], xywh[:, 2:]
    whole = (start == xywh[:, :2]) & (end == xywh[:, :2] + size)
    # The file's own numbers where nothing was cut off: x + width - x is not always width in floats.
    return np.where(whole, size, end - start)
