"""IoU and Dice of masks, and their means over classes, boxes and sizes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pycocotools import mask as mask_utils
from torch import Tensor
from torchmetrics import Metric

from mal.masks.rle import Rle
from mal.size_bins import BIN_ENDS, SIZE_NAMES


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
    """What `InstanceIoU` computes.

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


class InstanceIoU(Metric):
    """A metric that collects the IoU of each instance over all ranks and summarizes it.

    Averages are computed at the end only, so that the result does not depend on batches or the number of ranks.
    """

    full_state_update = False
    higher_is_better = True

    iou: list[Tensor]
    category: list[Tensor]
    box_area: list[Tensor]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for name in ("iou", "category", "box_area"):
            self.add_state(name, default=[], dist_reduce_fx="cat")
        self._add_empty()

    def reset(self) -> None:
        """Forget all instances."""
        super().reset()
        self._add_empty()

    def update(self, iou: Tensor, category: Tensor, box_area: Tensor) -> None:
        """Add instances.

        Args:
            iou: (N,) float, 0..1.
            category: (N,) int, the category id or any other number for the class.
            box_area: (N,) float, w * h of the box in square pixels of the original image.
        """
        if not iou.shape == category.shape == box_area.shape or iou.ndim != 1:
            raise ValueError(f"three vectors of one length expected: {iou.shape}, {category.shape}, {box_area.shape}")
        self._add(iou, category, box_area)

    def compute(self) -> IouSummary:
        """Summarize all instances added so far."""
        return iou_summary(*(_joined(state).cpu() for state in (self.iou, self.category, self.box_area)))

    def _add_empty(self) -> None:
        """A process that gets no instance must still offer tensors of the right type when states are gathered."""
        self._add(torch.empty(0), torch.empty(0), torch.empty(0))

    def _add(self, iou: Tensor, category: Tensor, box_area: Tensor) -> None:
        self.iou.append(iou.detach().to(self.device, torch.float32))
        self.category.append(category.detach().to(self.device, torch.int64))
        self.box_area.append(box_area.detach().to(self.device, torch.float32))


def iou_summary(iou: Tensor, category: Tensor, area: Tensor) -> IouSummary:
    """Means of instances, the same to the last digit in whatever order they come.

    Args:
        iou: (N,) float, 0..1.
        category: (N,) int, numbers of the classes.
        area: (N,) float, pixels of the image; what the sizes go by.
    """
    order = torch.from_numpy(np.lexsort((iou, area, category)))
    iou, category, area = iou[order].double(), category[order], area[order]
    size = torch.bucketize(area, torch.tensor(BIN_ENDS))
    by_size = {name: _means(iou[size == index], category[size == index]) for index, name in enumerate(SIZE_NAMES)}
    return IouSummary(
        all=_means(iou, category),
        by_size=by_size,
        by_class=_by_class(iou, category),
        share_50=_mean((iou >= 0.5).double()),
        share_75=_mean((iou >= 0.75).double()),
    )


def _joined(state: list[Tensor] | Tensor) -> Tensor:
    """After gathering over processes a state is one tensor, before that a list."""
    return state if isinstance(state, Tensor) else torch.cat(state)


def _by_class(iou: Tensor, category: Tensor) -> dict[int, ClassIou]:
    classes, index, counts = torch.unique(category, return_inverse=True, return_counts=True)
    means = torch.zeros(len(classes), dtype=iou.dtype).index_add_(0, index, iou) / counts
    return {
        int(key): ClassIou(float(mean), int(count)) for key, mean, count in zip(classes, means, counts, strict=True)
    }


def _means(iou: Tensor, category: Tensor) -> MeanIou:
    class_means = torch.tensor([item.mean for item in _by_class(iou, category).values()], dtype=iou.dtype)
    return MeanIou(_mean(class_means), _mean(iou), len(iou))


def _mean(values: Tensor) -> float | None:
    return float(values.mean()) if len(values) else None
