"""IoU and Dice of masks, and their means over classes, boxes and sizes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as mask_utils

from mal.masks.rle import Rle
from mal.size_bins import BIN_ENDS, SIZE_NAMES

Values = npt.NDArray[np.float64]


def dice_from_iou(iou: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Twice the common pixels over the sum of both masks' pixels, 0..1.

    For one pair of masks it follows from the IoU: with c common pixels and u in the union both masks together have
    u + c, so it is 2c / (u + c) = 2 IoU / (1 + IoU). Means of many pairs do not follow from each other.

    Args:
        iou: of each pair, 0..1.
    """
    values = np.asarray(iou, np.float64)
    return 2 * values / (1 + values)


def mask_iou(first: Rle, second: Rle) -> float:
    """Intersection over union of two masks of one image, 0..1; 0 when both are empty.

    Raises:
        ValueError: the masks are of different sizes.
    """
    if list(first["size"]) != list(second["size"]):
        raise ValueError(f"masks of different sizes: {first['size']} and {second['size']}")
    return float(mask_utils.iou([first], [second], [0])[0, 0])


# Not frozen: torchmetrics walks through what `compute` returns and refuses frozen dataclasses.
@dataclass
class MeanIou:
    """Means over a group of ``n`` instances, 0..1; None when the group is empty.

    Attributes:
        classes: mean over the occurring classes of the mean within the class.
        instances: mean over instances.
        n: number of instances.
    """

    classes: float | None
    instances: float | None
    n: int


@dataclass
class ClassIou:
    """The ``n`` instances of one class and their mean IoU."""

    mean: float
    n: int


@dataclass
class IouSummary:
    """What `iou_summary` computes.

    Attributes:
        all: over all instances.
        by_size: the same for "small", "medium" and "large" boxes.
        by_class: by category, sorted.
        share_50, share_75: share of instances with IoU >= 0.5 and >= 0.75; None without instances.
    """

    all: MeanIou
    by_size: dict[str, MeanIou]
    by_class: dict[int, ClassIou]
    share_50: float | None
    share_75: float | None

    def as_dict(self) -> dict[str, Any]:
        """Plain values under flat names (``miou_classes``, ``miou_instances_small``, ...), ready for JSON."""
        values: dict[str, Any] = {}
        for suffix, group in (("", self.all), *((f"_{size}", mean) for size, mean in self.by_size.items())):
            values[f"miou_classes{suffix}"] = group.classes
            values[f"miou_instances{suffix}"] = group.instances
            values[f"n{suffix}"] = group.n
        values["share_iou_50"] = self.share_50
        values["share_iou_75"] = self.share_75
        values["by_class"] = {str(key): {"miou": item.mean, "n": item.n} for key, item in self.by_class.items()}
        return values


def iou_summary(iou: npt.ArrayLike, category: npt.ArrayLike, area: npt.ArrayLike) -> IouSummary:
    """Means of instances, the same to the last digit in whatever order they come.

    Args:
        iou: (N,) float, 0..1.
        category: (N,) int, numbers of the classes.
        area: (N,) float, pixels of the image; what the sizes go by.
    """
    columns = np.asarray(iou), np.asarray(category), np.asarray(area)
    order = np.lexsort((columns[0], columns[2], columns[1]))
    ious, classes, areas = (column[order] for column in columns)
    ious = ious.astype(np.float64)
    size = np.searchsorted(np.array(BIN_ENDS, areas.dtype), areas)
    by_size = {name: _means(ious[size == index], classes[size == index]) for index, name in enumerate(SIZE_NAMES)}
    return IouSummary(
        all=_means(ious, classes),
        by_size=by_size,
        by_class=_by_class(ious, classes),
        share_50=_mean(ious >= 0.5),
        share_75=_mean(ious >= 0.75),
    )


def _by_class(iou: Values, category: npt.NDArray[np.int64]) -> dict[int, ClassIou]:
    classes, index, counts = np.unique(category, return_inverse=True, return_counts=True)
    means = np.bincount(index, iou, len(classes)) / counts
    return {
        int(key): ClassIou(float(mean), int(count)) for key, mean, count in zip(classes, means, counts, strict=True)
    }


def _means(iou: Values, category: npt.NDArray[np.int64]) -> MeanIou:
    class_means = np.array([item.mean for item in _by_class(iou, category).values()])
    return MeanIou(_mean(class_means), _mean(iou), len(iou))


def _mean(values: npt.NDArray[Any]) -> float | None:
    return float(values.mean()) if len(values) else None
