"""What labelling finds out about one annotation."""

from __future__ import annotations

from dataclasses import dataclass

from mal.masks.rle import Rle


@dataclass(frozen=True, slots=True)
class Label:
    """The result for one annotation.

    Attributes:
        rle: mask of the full image; it may be empty.
        iou: with the true mask, 0..1, where there is one.
        score: how good the mask seems to be without a true one, 0..1; None where nobody asked.
    """

    rle: Rle
    iou: float | None = None
    score: float | None = None
