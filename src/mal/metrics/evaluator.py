"""Compares predicted masks with true ones, and with what a filled box or an ellipse would have scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from mal.data.boxes import Box
from mal.data.coco import CocoFile, category_name
from mal.data.crop_stream import CropBatch
from mal.data.ground_truth import GroundTruth
from mal.masks.paste import PastedMask, paste_mask, threshold_for
from mal.masks.rle import Rle
from mal.metrics.baselines import box_mask, ellipse_mask
from mal.metrics.iou import InstanceIoU, IouSummary, mask_iou

MODEL, FILLED_BOX, ELLIPSE = METHODS = ("model", "box", "ellipse")


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Results of one pass over the annotations.

    Attributes:
        methods: summary of ``model``, ``box`` (the filled box) and ``ellipse`` (inscribed in the box).
        category_names: names by the class numbers that the summaries use.
    """

    methods: dict[str, IouSummary]
    category_names: list[str]

    @property
    def model(self) -> IouSummary:
        """Summary of the network's masks."""
        return self.methods[MODEL]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        values = {}
        for method, summary in self.methods.items():
            flat = summary.as_dict()
            by_class = flat.pop("by_class")
            flat["by_class"] = {self.category_names[int(number)]: entry for number, entry in by_class.items()}
            values[method] = flat
        return values


@dataclass(frozen=True, slots=True)
class BoxScores:
    """How N boxes with true masks did.

    Attributes:
        ious: (N, 3) float32, with the true mask, of each of :data:`METHODS`.
        categories: (N,) int64, class numbers.
        box_areas: (N,) float32, pixels of the image.
    """

    ious: Tensor
    categories: Tensor
    box_areas: Tensor


class Evaluator(nn.Module):
    """Collects the IoU of every box that has a true mask, over batches and processes.

    Args:
        coco: the annotation file.
        boxes: the boxes that will come.
        thresholds: probability thresholds, one for all or one each for small, medium and large boxes.
    """

    def __init__(self, coco: CocoFile, boxes: Sequence[Box], thresholds: Sequence[float]) -> None:
        super().__init__()
        self.truth = GroundTruth(coco)
        self.thresholds = thresholds
        self.metrics = nn.ModuleDict({method: InstanceIoU() for method in METHODS})
        categories = {repr(box.category_id): category_name(coco, box.category_id) for box in boxes}
        self._numbers = {key: number for number, key in enumerate(categories)}
        self.category_names = list(categories.values())

    def update(self, batch: CropBatch, probs: Tensor) -> None:
        """Measure a batch and add what was found.

        Args:
            batch: crops with their boxes.
            probs: (B, 1, S, S) foreground probabilities in the crops' pixels.
        """
        self.add(self.measure(batch, probs.float().cpu().numpy()))

    def measure(self, batch: CropBatch, probs: npt.NDArray[np.float32]) -> BoxScores:
        """Compare a batch with the true masks; several threads may do so at a time.

        Args:
            batch: as of :meth:`update`.
            probs: likewise.
        """
        measured, ious = [], []
        for index, box in enumerate(batch.boxes):
            truth = self.truth.rle(box)
            if truth is not None:
                measured.append(box)
                ious.append(
                    [mask_iou(mask, truth) for mask in self._masks(box, self.mask(batch, index, probs[index, 0]))]
                )
        return BoxScores(
            ious=torch.tensor(ious).reshape(-1, len(METHODS)),
            categories=self._categories(measured),
            box_areas=torch.tensor([box.area for box in measured]),
        )

    def add(self, scores: BoxScores) -> None:
        """Add what was measured."""
        for method, ious in zip(METHODS, scores.ious.unbind(1), strict=True):
            self._metric(method).update(ious, scores.categories, scores.box_areas)

    def categories(self, batch: CropBatch) -> Tensor:
        """Class numbers of a batch, (B,) int64."""
        return self._categories(batch.boxes)

    def mask(self, batch: CropBatch, index: int, prob: Tensor | npt.NDArray[np.float32]) -> PastedMask:
        """The mask of one crop of a batch, at its place in the image."""
        image = batch.boxes[index].image
        threshold = threshold_for(float(batch.box_area[index]), self.thresholds)
        return paste_mask(prob, batch.frames[index], (image.width, image.height), threshold)

    def _masks(self, box: Box, mask: PastedMask) -> tuple[Rle, ...]:
        """One for each of the methods."""
        size = (box.image.width, box.image.height)
        return mask.rle(), box_mask(box.xywh, *size), ellipse_mask(box.xywh, *size)

    def _categories(self, boxes: Sequence[Box]) -> Tensor:
        return torch.tensor([self._numbers[repr(box.category_id)] for box in boxes], dtype=torch.int64)

    def compute(self) -> Evaluation:
        """Summarise what was added so far, over all processes."""
        summaries = {method: self._metric(method).compute() for method in METHODS}
        return Evaluation(summaries, self.category_names)

    def scalars(self) -> dict[str, float]:
        """The figures that training logs after a validation; ``val/mIoU`` is the public definition, over classes."""
        summary = self.compute().model
        values = {"val/mIoU": summary.all.classes, "val/mIoU_instances": summary.all.instances}
        for size, group in summary.by_size.items():
            values[f"val/mIoU_{size}"] = group.classes
        return {name: value for name, value in values.items() if value is not None}

    def reset(self) -> None:
        """Forget everything added so far."""
        for method in METHODS:
            self._metric(method).reset()

    def _metric(self, method: str) -> InstanceIoU:
        return cast(InstanceIoU, self.metrics[method])
