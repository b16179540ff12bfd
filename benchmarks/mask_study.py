"""Photos labelled in several ways, in turn: how long each takes, and how good its masks are."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.cheaper_networks import OnePass
from mal.coco.boxes import Box
from mal.coco.ground_truth import GroundTruth
from mal.config.schema import ExperimentSpec
from mal.data.crops import to_planes
from mal.data.images import read_record_image
from mal.data.label_dataset import CropBatch, CropSettings, crop_boxes
from mal.data.loaders import AnnotatedImages
from mal.labeler import MaskAutoLabeler, whole
from mal.load_model import load_model
from mal.masks.rle import Rle
from mal.metrics.iou import mask_iou
from mal.metrics.iou_metric import InstanceIoU
from mal.models.from_spec import crop_settings
from mal.models.network import MaskNetwork
from mal.models.prediction_mode import PredictionMode
from mal.size_bins import SIZE_NAMES, size_bin

Photo = list[Box]  # the boxes of one photo


@dataclass
class Way:
    """One way of computing masks, and what was found about it.

    Attributes:
        name: for the table.
        network: crops and box areas to logits.
        sides: side of a crop as a share of the usual one, for small, medium and large boxes.
        margin: in place of the usual ``test_margin_rate``.
        photo_side: compute the backbone once for a photo, its longer side brought to so many crops; None crops.
        seconds: of each round, all and of the network alone.
    """

    name: str
    network: nn.Module
    sides: Sequence[float] = (1, 1, 1)
    margin: float | None = None
    photo_side: int | None = None
    seconds: list[tuple[float, float]] = field(default_factory=list)
    iou: InstanceIoU = field(default_factory=InstanceIoU)


class Timed(nn.Module):
    """A network that notes how long it takes."""

    def __init__(self, network: nn.Module, clock: Callable[[], float]) -> None:
        super().__init__()
        self.network, self.clock, self.seconds = network, clock, 0.0

    def forward(self, images: Tensor, box_area: Tensor) -> Tensor:
        start = self.clock()
        logits: Tensor = self.network(images, box_area)
        self.seconds += self.clock() - start
        return logits


class Study:
    """Labels photos in several ways and compares the masks with true ones."""

    def __init__(self, options: argparse.Namespace) -> None:
        held = load_model(options.checkpoint, ExperimentSpec())
        assert isinstance(held.student, MaskNetwork)
        assert isinstance(held.teacher, MaskNetwork)
        self.network = (held.teacher if options.network == "teacher" else held.student).eval()
        self.spec = held.spec
        self.crop = crop_settings(held.spec)
        if options.crop_size:
            self.crop = replace(self.crop, crop_size=options.crop_size)
            self.spec.dataset.crop_size = options.crop_size
        self.mode = PredictionMode(flip=options.flip)
        self.batch_size = options.batch_size
        self.clock = time.process_time if options.cpu_time else time.perf_counter
        self.source = AnnotatedImages(options.ann, options.images)
        boxes = self.source.boxes_to_label
        self.photos = [list(group) for _, group in groupby(boxes, key=lambda box: box.image.position)][: options.photos]
        self.truth = GroundTruth(self.source.coco)
        categories = sorted({repr(box.category_id) for box in boxes})
        self.classes = {category: number for number, category in enumerate(categories)}

    def compare(self, ways: Sequence[Way], photos_a_round: int) -> None:
        """Let every way label all photos, a few at a time; the way that goes first changes."""
        for way in ways:
            self.label(way, self.photos[:2])
        for number, start in enumerate(range(0, len(self.photos), photos_a_round)):
            photos = self.photos[start : start + photos_a_round]
            first = number % len(ways)
            for way in [*ways[first:], *ways[:first]]:
                seconds, labels = self.label(way, photos)
                way.seconds.append(seconds)
                self._add_iou(way, labels)

    @torch.inference_mode()
    def label(self, way: Way, photos: Iterable[Photo]) -> tuple[tuple[float, float], list[tuple[Box, Rle]]]:
        """Label photos from reading to encoding, in this one process.

        Returns:
            Seconds of all and of the network, and the masks.
        """
        timed = Timed(way.network, self.clock)
        crop = self.crop if way.margin is None else replace(self.crop, margin_rate=(way.margin, way.margin))
        mode = self.mode if way.photo_side is None else PredictionMode()  # one pass mirrors the photo itself
        stand_in = cast(MaskNetwork, timed)  # a labeler only calls its network
        labeler = MaskAutoLabeler(stand_in, stand_in, crop=crop, thresholds=self.spec.train.mask_thres, mode=mode)
        start = self.clock()
        labels: list[tuple[Box, Rle]] = []
        if way.photo_side is not None:
            for boxes in photos:
                labels += self._one_pass(timed, boxes, labeler, way.photo_side * crop.crop_size)
        else:
            for batch in self._batches(way, photos, crop):
                labels += [
                    (box, mask.rle()) for box, mask in zip(batch.boxes, whole(labeler.masks(batch)), strict=True)
                ]
        return (self.clock() - start, timed.seconds), labels

    def _batches(self, way: Way, photos: Iterable[Photo], crop: CropSettings) -> Iterator[CropBatch]:
        """Crops of boxes of one size bin, as many pixels in a batch whatever the side."""
        waiting: list[list[CropBatch]] = [[] for _ in SIZE_NAMES]
        sides = [max(16, round(crop.crop_size * share / 16) * 16) for share in way.sides]
        sizes = [round(self.batch_size * (self.crop.crop_size / side) ** 2) for side in sides]
        for boxes in photos:
            image = read_record_image(self.source.img_dir, boxes[0].image)
            for box in boxes:
                size = size_bin(box.area)
                waiting[size].append(crop_boxes(image, [box], replace(crop, crop_size=sides[size])))
                if len(waiting[size]) >= sizes[size]:
                    yield _joined(waiting[size])
                    waiting[size] = []
        yield from (_joined(rest) for rest in waiting if rest)

    def _one_pass(self, timed: Timed, boxes: Photo, labeler: MaskAutoLabeler, longer: int) -> Iterator[tuple[Box, Rle]]:
        image = read_record_image(self.source.img_dir, boxes[0].image)
        height, width = image.shape[:2]
        stride = self.network.backbone.stride
        sides = [max(1, round(side * longer / max(width, height) / stride)) * stride for side in (width, height)]
        downsample = to_planes(
            np.asarray(Image.fromarray(image).resize((sides[0], sides[1]), Image.Resampling.BICUBIC))
        )
        batch = crop_boxes(image, boxes, labeler.crop)
        cells = labeler.crop.crop_size // stride
        timed.network = OnePass(self.network, batch.frames, (width, height), cells, flip=self.mode.flip)
        logits = torch.from_numpy(labeler.logits(replace(batch, images=downsample[None])))
        probs = F.interpolate(logits, size=batch.images.shape[-2:], mode="bilinear", align_corners=False).sigmoid()
        masks = whole(labeler.pasted(batch, (probs * torch.from_numpy(batch.box_mask)).numpy()))
        yield from ((box, mask.rle()) for box, mask in zip(boxes, masks, strict=True))

    def _add_iou(self, way: Way, labels: Iterable[tuple[Box, Rle]]) -> None:
        for box, rle in labels:
            truth = self.truth.rle(box)
            if truth is not None:
                number = self.classes[repr(box.category_id)]
                way.iou.update(torch.tensor([mask_iou(rle, truth)]), torch.tensor([number]), torch.tensor([box.area]))


def _joined(crops: Sequence[CropBatch]) -> CropBatch:
    return CropBatch(
        images=np.concatenate([crop.images for crop in crops]),
        box_mask=np.concatenate([crop.box_mask for crop in crops]),
        box_area=np.concatenate([crop.box_area for crop in crops]),
        frames=tuple(frame for crop in crops for frame in crop.frames),
        boxes=tuple(box for crop in crops for box in crop.boxes),
    )
