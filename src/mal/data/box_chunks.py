"""The work of labelling cut into pieces that do not depend on who does them.

What a network says of a box depends, in its last digits, on the boxes beside it in the batch. So batches are planned
from the annotation file and the batch size alone: whatever the number of processes, however often a run was stopped,
the same boxes share a batch, and the masks are the same bit by bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from mal.data.box import Boxes
from mal.size_bins import SIZE_NAMES

BATCHES_IN_A_CHUNK = 16  # many batches of one size for each that is mixed, and little work for each decision


class BoxChunks:
    """Boxes cut into chunks: runs of whole images with at least 16 batches of boxes; the last may have fewer.

    Args:
        boxes: the boxes of an image next to each other.
        batch_size: boxes that the network sees at once.
    """

    def __init__(self, boxes: Boxes, batch_size: int) -> None:
        starts = np.flatnonzero(np.diff(boxes.image_rows, prepend=-1))  # of the boxes of an image
        self._image_starts = np.append(starts, len(boxes))
        bounds = [0]
        while bounds[-1] < len(starts):
            enough = self._image_starts[bounds[-1]] + BATCHES_IN_A_CHUNK * batch_size
            bounds.append(min(int(np.searchsorted(self._image_starts, enough)), len(starts)))
        self._image_bounds = bounds

    def __len__(self) -> int:
        return len(self._image_bounds) - 1

    def rows(self, chunk: int) -> range:
        """The boxes of a chunk, by row."""
        first, last = self._image_bounds[chunk : chunk + 2]
        return range(int(self._image_starts[first]), int(self._image_starts[last]))

    def images(self, chunk: int) -> Iterator[range]:
        """The boxes of each image of a chunk, by row."""
        first, last = self._image_bounds[chunk : chunk + 2]
        for image in range(first, last):
            yield range(int(self._image_starts[image]), int(self._image_starts[image + 1]))

    def unfinished(self, done: npt.NDArray[np.bool_]) -> list[int]:
        """The chunks that hold a box which is not done.

        Args:
            done: (N,) bool, by row.
        """
        starts = self._image_starts[self._image_bounds[:-1]]
        return np.flatnonzero(~np.logical_and.reduceat(done, starts)).tolist() if len(starts) else []


def plan_batches(sizes: Sequence[int], batch_size: int) -> list[list[int]]:
    """Which boxes of a chunk share a batch: those of one size, as the network treats them alike.

    Args:
        sizes: the size bin of each box, see `mal.size_bins.size_bin`.
        batch_size: boxes in a batch.

    Returns:
        Each batch as indices into ``sizes``: those of one size in the order in which they become full, then what is
        left of all sizes, mixed.
    """
    waiting: list[list[int]] = [[] for _ in SIZE_NAMES]
    batches = []
    for index, size in enumerate(sizes):
        alike = waiting[size]
        alike.append(index)
        if len(alike) == batch_size:
            batches.append(alike)
            waiting[size] = []
    rest = [index for alike in waiting for index in alike]
    return batches + [rest[start : start + batch_size] for start in range(0, len(rest), batch_size)]
