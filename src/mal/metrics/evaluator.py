"""Compares predicted masks with true ones, and with what a filled box or an ellipse would have scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

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
        """Add a batch.

        Args:
            batch: crops with their boxes.
            probs: (B, 1, S, S) foreground probabilities in the crops' pixels.
        """
        for index, box in enumerate(batch.boxes):
            truth = self.truth.rle(box)
            if truth is not None:
                self._add(box, truth, self.mask(batch, index, probs[index, 0]))

    def categories(self, batch: CropBatch) -> Tensor:
        """Class numbers of a batch, (B,) int64."""
        return torch.tensor([self._numbers[repr(box.category_id)] for box in batch.boxes])

    def mask(self, batch: CropBatch, index: int, prob: Tensor) -> PastedMask:
        """The mask of one crop of a batch, at its place in the image."""
        image = batch.boxes[index].image
        threshold = threshold_for(float(batch.box_area[index]), self.thresholds)
        return paste_mask(prob, batch.frames[index], (image.width, image.height), threshold)

    def _add(self, box: Box, truth: Rle, mask: PastedMask) -> None:
        size = (box.image.width, box.image.height)
        masks = {MODEL: mask.rle(), FILLED_BOX: box_mask(box.xywh, *size), ELLIPSE: ellipse_mask(box.xywh, *size)}
        category = torch.tensor([self._numbers[repr(box.category_id)]])
        for method, rle in masks.items():
            self._metric(method).update(torch.tensor([mask_iou(rle, truth)]), category, torch.tensor([box.area]))

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
