"""The IoU of instances, collected over batches and processes in training."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from mal.metrics.iou import IouSummary, iou_summary


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
        return iou_summary(*(_joined(state).cpu().numpy() for state in (self.iou, self.category, self.box_area)))

    def _add_empty(self) -> None:
        """A process that gets no instance must still offer tensors of the right type when states are gathered."""
        self._add(torch.empty(0), torch.empty(0), torch.empty(0))

    def _add(self, iou: Tensor, category: Tensor, box_area: Tensor) -> None:
        self.iou.append(iou.detach().to(self.device, torch.float32))
        self.category.append(category.detach().to(self.device, torch.int64))
        self.box_area.append(box_area.detach().to(self.device, torch.float32))


def _joined(state: list[Tensor] | Tensor) -> Tensor:
    """After gathering over processes a state is one tensor, before that a list."""
    return state if isinstance(state, Tensor) else torch.cat(state)
