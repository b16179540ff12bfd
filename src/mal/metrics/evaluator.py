"""Validation during training: IoU only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from mal.coco.boxes import Box
from mal.coco.coco_file import CocoFile
from mal.coco.ground_truth import GroundTruth
from mal.data.label_dataset import CropBatch
from mal.masks.paste import PastedMask
from mal.masks.postprocess import NO_POSTPROCESSING, PostprocessOptions, Thresholds, postprocess_mask
from mal.masks.refine import CropPixels
from mal.metrics.iou import IouSummary, mask_iou
from mal.metrics.iou_metric import InstanceIoU
from mal.metrics.summary import ClassNumbers


class Evaluator(nn.Module):
    """Collects the IoU of every box that has a true mask, over batches and processes.

    Args:
        coco: the annotation file.
        boxes: the boxes that will come.
        thresholds: probability thresholds, as of :class:`mal.MaskAutoLabeler`.
        cleaning: post-processing after the threshold.
        graph_cut: whether masks are refined by graph cut, as of :class:`mal.models.predict.PredictionMode`.
    """

    def __init__(
        self,
        coco: CocoFile,
        boxes: Sequence[Box],
        thresholds: Thresholds,
        cleaning: PostprocessOptions = NO_POSTPROCESSING,
        *,
        graph_cut: bool | Literal["auto"] = False,
    ) -> None:
        super().__init__()
        self.truth = GroundTruth(coco)
        self.thresholds = thresholds
        self.cleaning = cleaning
        self.graph_cut = graph_cut
        self.metric = InstanceIoU()
        self._classes = ClassNumbers(coco, boxes)

    def update(self, batch: CropBatch, probs: Tensor) -> None:
        """Compute the IoU of a batch and add it.

        Args:
            batch: crops with their boxes.
            probs: (B, 1, S, S) foreground probabilities in the crops' pixels.
        """
        arrived = probs.float().cpu().numpy()
        measured, ious = [], []
        for index, box in enumerate(batch.boxes):
            truth = self.truth.rle(box)
            if truth is not None:
                measured.append(box)
                ious.append(mask_iou(self.mask(batch, index, arrived[index, 0]).rle(), truth))
        self.metric.update(
            torch.tensor(ious),
            torch.tensor([self._classes.number(box.category_id) for box in measured], dtype=torch.int64),
            torch.tensor([box.area for box in measured]),
        )

    def mask(self, batch: CropBatch, index: int, prob: npt.NDArray[np.float32]) -> PastedMask:
        """The mask of one crop of a batch, pasted into its image."""
        box = batch.boxes[index]
        return postprocess_mask(
            prob,
            batch.frames[index],
            (box.image.width, box.image.height),
            box_xyxy=box.xyxy,
            box_area=float(batch.box_area[index]),
            thresholds=self.thresholds,
            cleaning=self.cleaning,
            cut_on=CropPixels(batch.images[index], batch.box_mask[index, 0]) if self.graph_cut else None,
            choose=self.graph_cut == "auto",
        )

    def compute(self) -> IouSummary:
        """Summarize what was added so far, over all processes."""
        return self.metric.compute()

    def scalars(self) -> dict[str, float]:
        """The figures that training logs after a validation; ``val/mIoU`` is the public definition, over classes."""
        summary = self.compute()
        values = {"val/mIoU": summary.all.classes, "val/mIoU_instances": summary.all.instances}
        for size, group in summary.by_size.items():
            values[f"val/mIoU_{size}"] = group.classes
        return {name: value for name, value in values.items() if value is not None}

    def reset(self) -> None:
        """Forget everything added so far."""
        self.metric.reset()
