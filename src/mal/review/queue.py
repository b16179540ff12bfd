"""The queue of a review: which annotations a person sees, in which order, as columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mal.coco.coco_file import CocoFile, category_name
from mal.data.images import fill_missing_sizes, image_path
from mal.data.picture_remarks import choose_reading
from mal.errors import UserError
from mal.reading import Reading
from mal.report.label_results import doubt_in, share_in
from mal.report.review_queue import urgency_order

_PICTURES_LOOKED_FOR = 50


class ReviewQueue:
    """The annotations with a box or a mask, most urgent first; groups (``iscrowd`` 1) are left out.

    Args:
        coco: the label file; image sizes that it lacks are taken from the pictures.
        img_dir: folder of its pictures.
        reading: how they are read.

    Attributes:
        order: (N,) positions in ``coco.annotations``.
        scores: (N,) in 0..1, NaN where there is none; of the same rows as ``order``.
        doubts: why an annotation is marked doubtful, by position.
        left_out: annotations that are not in the queue.

    Raises:
        UserError: there is nothing to review, or none of the pictures is in the folder.
    """

    def __init__(self, coco: CocoFile, img_dir: Path, reading: Reading) -> None:
        self.coco = coco
        choose_reading(coco, img_dir, reading)
        table = coco.table
        has_box = ~np.isnan(table.xywh[:, 0])
        positions = np.flatnonzero((table.image_rows >= 0) & ~table.is_group & (has_box | table.has_mask))
        self.left_out = len(table) - len(positions)
        if not len(positions):
            raise UserError(f"{coco.path}: no annotation has a box or a mask, so there is nothing to review")
        self._require_pictures(img_dir, np.unique(table.image_rows[positions]))
        fill_missing_sizes(coco, img_dir)
        scores = np.full(len(table), np.nan)
        self.doubts: dict[int, str] = {}
        for position, record in enumerate(coco.annotations):
            if isinstance(record, dict):
                scores[position] = share_in(record.get("mask_score"))
                if (reason := doubt_in(record)) is not None:
                    self.doubts[position] = reason
        is_marked = np.zeros(len(table), np.bool_)
        is_marked[list(self.doubts)] = True
        order = urgency_order(scores[positions], is_marked[positions], positions)
        self.order: npt.NDArray[np.int64] = positions[order]
        self.scores: npt.NDArray[np.float64] = scores[self.order]
        self._members = frozenset(self.order.tolist())

    def __contains__(self, position: object) -> bool:
        return position in self._members

    def columns(self) -> dict[str, Any]:
        """The queue as JSON columns; rows of images count those that have annotations in it."""
        table = self.coco.table
        rows, image_of = np.unique(table.image_rows[self.order], return_inverse=True)
        images = [self.coco.images.at(row) for row in rows.tolist()]
        names = [category_name(self.coco, table.category_ids[position]) for position in self.order.tolist()]
        classes = list(dict.fromkeys(names))
        number = {name: index for index, name in enumerate(classes)}
        return {
            "at": self.order.tolist(),
            "id": [_plain(table.ids[position]) for position in self.order.tolist()],
            "image": image_of.tolist(),
            "class": [number[name] for name in names],
            "score": [None if np.isnan(score) else round(score, 4) for score in self.scores.tolist()],
            "box": [None if np.isnan(box[0]) else box for box in np.round(table.xywh[self.order], 2).tolist()],
            "doubts": {str(position): reason for position, reason in self.doubts.items()},
            "classes": classes,
            "images": {
                "row": rows.tolist(),
                "name": [image.file_name for image in images],
                "width": [image.width for image in images],
                "height": [image.height for image in images],
            },
        }

    def _require_pictures(self, img_dir: Path, rows: npt.NDArray[np.int64]) -> None:
        some = rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _PICTURES_LOOKED_FOR)).astype(int))]
        names = [self.coco.images.at(row).file_name for row in some.tolist()]
        if not any(_is_there(img_dir, name) for name in names):
            raise UserError(
                f"{img_dir} holds none of the pictures that {self.coco.path} names (such as {names[0]}): give the"
                " folder below which these names are"
            )


def _is_there(img_dir: Path, name: str) -> bool:
    try:
        return image_path(img_dir, name).exists()
    except (UserError, OSError, ValueError):
        return False


def _plain(value: Any) -> Any:
    return value if isinstance(value, (int, str)) or value is None else str(value)
