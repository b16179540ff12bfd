"""What labelling finds out about one annotation."""

from __future__ import annotations

from dataclasses import dataclass

from mal.masks.rle import Rle, rle_area


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


def reason_to_doubt(label: Label, min_score: float | None) -> str:
    """Why a person should look at a label; empty where there is no reason.

    Args:
        label: an empty mask is always doubtful.
        min_score: a lower score is; None doubts none for its score.
    """
    reasons = [] if rle_area(label.rle) else ["the mask is empty"]
    if min_score is not None and label.score is not None and label.score < min_score:
        reasons.append(f"mask_score {label.score:.3g} is below inference.min_score {min_score:g}")
    return "; ".join(reasons)
