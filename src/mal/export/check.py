"""Check that an exported file gives the same masks as the network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mal.data.label_dataset import CropBatch
from mal.labeler import MaskAutoLabeler, whole
from mal.masks.rle import Rle
from mal.metrics.iou import mask_iou
from mal.sample.scene import scene

LARGEST_LOGIT_DIFFERENCE = 1e-3
LEAST_MASK_IOU = 0.999
SCENE_SIZES = ((80, 60), (256, 192), (512, 384))


@dataclass(frozen=True, slots=True)
class ExportCheck:
    """Differences between two labelers on generated scenes.

    Attributes:
        logit_difference: largest absolute difference of logits.
        mask_iou: lowest IoU between the two masks of a box.
        num_boxes: number of boxes compared.
    """

    logit_difference: float
    mask_iou: float
    num_boxes: int

    @property
    def is_passed(self) -> bool:
        return self.logit_difference <= LARGEST_LOGIT_DIFFERENCE and self.mask_iou >= LEAST_MASK_IOU


def compare_labelers(one: MaskAutoLabeler, other: MaskAutoLabeler) -> ExportCheck:
    """Compare two labelers with the same crop settings on generated scenes."""
    differences: list[float] = []
    ious: list[float] = []
    for batch in scene_crops(one):
        differences.append(float(np.abs(one.logits(batch) - other.logits(batch)).max()))
        ious += [
            _agreement(a.rle(), b.rle())
            for a, b in zip(whole(one.masks(batch)), whole(other.masks(batch)), strict=True)
        ]
    return ExportCheck(max(differences), min(ious), len(ious))


def _agreement(one: Rle, other: Rle) -> float:
    return 1.0 if one == other else mask_iou(one, other)  # two empty masks agree, though their IoU counts as 0


def scene_crops(labeler: MaskAutoLabeler) -> Iterator[CropBatch]:
    """The boxes of a few generated scenes, of every size bin, as a labeler crops them."""
    for number, (width, height) in enumerate(SCENE_SIZES):
        drawn = scene(np.random.default_rng(number), width, height)
        yield from labeler.crops(drawn.image, drawn.boxes_xyxy)
