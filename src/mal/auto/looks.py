"""Looks at some boxes of a set, to judge networks by them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from mal.coco.boxes import Box, Boxes
from mal.console import task_progress
from mal.data.images import read_record_image
from mal.data.loaders import AnnotatedImages
from mal.errors import UserError

Look = Callable[[npt.NDArray[np.uint8], list[Box]], list[tuple[float, ...]]]
"""What is seen of the boxes of a picture, (H, W, 3) uint8: a row for each."""


def mean_of_looks(
    source: AnnotatedImages, boxes: Boxes, look: Look, *, max_boxes: int, name: str
) -> npt.NDArray[np.float64] | None:
    """Look at boxes that are spread evenly over a set.

    Args:
        source: annotations and pictures.
        boxes: boxes of the source; those of unreadable pictures are left out, since labeling names them.
        look: what to see of each.
        max_boxes: number of boxes that are looked at.
        name: of the progress bar.

    Returns:
        Means of the columns; None where nothing could be read.
    """
    rows = np.unique(np.linspace(0, len(boxes) - 1, min(len(boxes), max_boxes)).astype(int))
    found: list[tuple[float, ...]] = []
    with task_progress(name, len(rows)) as progress:
        for together in _by_image(boxes.take(rows)):
            pixels = _read(source, together[0])
            if pixels is not None:
                found += look(pixels, together)
            progress.advance(len(together))
    return np.mean(found, axis=0) if found else None


def _by_image(boxes: Boxes) -> Iterator[list[Box]]:
    together: dict[Any, list[Box]] = {}
    for box in boxes:
        together.setdefault(box.image.id, []).append(box)
    yield from together.values()


def _read(source: AnnotatedImages, box: Box) -> npt.NDArray[np.uint8] | None:
    try:
        return read_record_image(source.img_dir, box.image)
    except UserError:
        return None
