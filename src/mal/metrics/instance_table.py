"""Metrics of every box in one array."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mal.coco.boxes import Box
from mal.masks.rle import Rle, rle_area
from mal.metrics.baselines import box_mask, ellipse_mask
from mal.metrics.boundary import boundary
from mal.metrics.iou import mask_iou

MODEL, FILLED_BOX, ELLIPSE = METHODS = ("model", "box", "ellipse")

INSTANCE_DTYPE = np.dtype(
    [
        ("position", np.int64),  # in the file's list of annotations
        ("image", np.int64),  # in its list of images
        ("category", np.int64),  # number of the class
        ("box_area", np.float32),  # pixels of the image, as the rest
        ("mask_area", np.float32),
        ("true_area", np.float32),
        ("score", np.float32),  # 0..1
        ("agreement", np.float32),  # IoU of both networks' masks; NaN if only one network ran
        ("iou", np.float64, len(METHODS)),  # with the true mask, of each of the methods
        ("boundary_iou", np.float64, len(METHODS)),
    ]
)
"""A row of the table: 92 bytes."""

InstanceTable = npt.NDArray[np.void]
"""(N,) rows of :data:`INSTANCE_DTYPE`."""


def instance_row(
    box: Box, category: int, predicted: Rle, truth: Rle, *, score: float, agreement: float = float("nan")
) -> InstanceTable:
    """Compare a mask, the filled box and the ellipse in it with the true mask.

    Args:
        box: the box that was labeled.
        category: number of its class.
        predicted: its mask.
        truth: the true mask.
        score: expected IoU of the mask, 0..1, see `mal.masks.score`.
        agreement: IoU of the masks of student and teacher.

    Returns:
        (1,) row.
    """
    size = (box.image.width, box.image.height)
    masks = (predicted, box_mask(box.xywh, *size), ellipse_mask(box.xywh, *size))
    outline = boundary(truth)
    ious = [mask_iou(mask, truth) for mask in masks]
    boundary_ious = [mask_iou(boundary(mask), outline) for mask in masks]
    areas = (box.area, rle_area(predicted), rle_area(truth))
    numbers = (box.position, box.image.position, category, *areas, score, agreement, ious, boundary_ious)
    return np.array([numbers], INSTANCE_DTYPE)


def concatenate_tables(parts: Sequence[InstanceTable]) -> InstanceTable:
    """Concatenate tables in annotation order, so that no metric depends on the order of arrival."""
    table = np.concatenate([np.empty(0, INSTANCE_DTYPE), *parts])
    return table[np.argsort(table["position"], kind="stable")]
