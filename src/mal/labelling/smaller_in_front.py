"""Labels of an image that share no pixel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from mal.data.datamodule import AnnotatedImages
from mal.data.ground_truth import GroundTruth
from mal.labelling.label import Label
from mal.labelling.resolve import Resolve
from mal.masks.overlap import without_overlap
from mal.metrics.iou import mask_iou


def smaller_in_front(source: AnnotatedImages, *, load_mask: bool = False) -> Resolve:
    """What gives a pixel that several labels claim to the one with the smallest box.

    Args:
        source: annotation file and images.
        load_mask: labels that change are compared with the masks of the file again.
    """
    boxes = source.boxes_to_label
    rows = np.zeros(len(source.coco.annotations), np.int64)
    rows[boxes.positions] = np.arange(len(boxes))
    truth = GroundTruth(source.coco) if load_mask else None

    def resolve(labels: Mapping[int, Label]) -> Mapping[int, Label]:
        of_image = [boxes[int(rows[position])] for position in labels]
        found = without_overlap([label.rle for label in labels.values()], [-box.area for box in of_image])
        changed = {}
        for box, label, rle in zip(of_image, labels.values(), found, strict=True):
            if rle != label.rle:
                true = truth.rle(box) if truth else None
                changed[box.position] = replace(label, rle=rle, iou=mask_iou(rle, true) if true else label.iou)
        return changed

    return resolve
