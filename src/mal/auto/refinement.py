"""Whether the masks of a set are refined by graph cut, told without true masks."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from mal.auto.looks import mean_of_looks
from mal.coco.boxes import Box, Boxes
from mal.data.loaders import AnnotatedImages
from mal.labeler import MaskAutoLabeler
from mal.metrics.iou import mask_iou

MAX_BOXES = 100
# Where colors tell objects from what is around them, a network that was taught by cuts and the cut of its mask differ
# by the outline only. docs/quality.md has the sets that this was read from.
LEAST_AGREEMENT = 0.93


@dataclass(frozen=True, slots=True)
class Refinement:
    """How the masks of a set are refined.

    Attributes:
        refine: value of ``inference.refine``.
        reason: in words, for the terminal.
    """

    refine: Literal["none", "graph_cut"]
    reason: str


def choose_refinement(agreement: float) -> Refinement:
    """Refine a set where the network and the cuts of its masks agree.

    Args:
        agreement: of :func:`cut_agreement`.
    """
    told = f"masks and their cuts by color agree by {agreement:.2f}"
    if agreement >= LEAST_AGREEMENT:
        return Refinement("graph_cut", f"{told}: the masks are refined by graph cut")
    return Refinement("none", f"{told}, less than {LEAST_AGREEMENT}: the masks are not refined")


def cut_agreement(labeler: MaskAutoLabeler, source: AnnotatedImages, boxes: Boxes) -> float:
    """Mean IoU of a network's masks and their graph cuts, 0..1; 0 where no picture can be read.

    Args:
        labeler: the network; its own refinement is left out.
        source: annotations and pictures.
        boxes: boxes of the source; at most :data:`MAX_BOXES` of them are looked at.
    """
    plain, cut = copy(labeler), copy(labeler)
    plain.mode = replace(labeler.mode, crf=None, graph_cut=False)
    cut.mode = replace(plain.mode, graph_cut=True)

    def look(pixels: npt.NDArray[np.uint8], boxes: list[Box]) -> list[tuple[float, ...]]:
        corners = np.array([box.xyxy for box in boxes])
        pairs = zip(plain.label_instances(pixels, corners), cut.label_instances(pixels, corners), strict=True)
        return [(mask_iou(mask.rle(), refined.rle()),) for mask, refined in pairs if mask and refined]

    found = mean_of_looks(source, boxes, look, max_boxes=MAX_BOXES, name="comparing masks with their cuts")
    return 0.0 if found is None else float(found[0])
