"""Training as the method's description reads: boxes open their photos, the teacher is a second student, windows unfold.

Shape letters: B boxes, S side of a crop, h x w the logits' map.
"""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor
from torch.nn import functional as F
from torch.optim import AdamW, Optimizer
from torchvision.transforms.v2 import functional as colors

from benchmarks.baselines.unfold_mean_field import unfold_mean_field
from mal.coco.boxes import Box
from mal.data.crops import crop_frame, random_margins
from mal.data.images import image_path
from mal.data.train_dataset import TrainBatch
from mal.models.network import MaskNetwork

MOMENTUM = 0.996
MARGIN_RATE = (0.0, 1.2)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def plain_sample(box: Box, img_dir: Path, crop_size: int, rng: np.random.Generator) -> TrainBatch:
    """The sample of a box as a batch of one: decode, mask of the whole photo, cut, resize, mirror, change colours."""
    with Image.open(image_path(img_dir, box.image.file_name)) as opened:
        photo = np.array(opened.convert("RGB"))
    height, width = photo.shape[:2]
    x0, y0, x1, y1 = (int(value) for value in box.xyxy)
    whole_mask = np.zeros((height, width))
    whole_mask[y0 : y1 + 1, x0 : x1 + 1] = 1
    left, top, right, bottom = crop_frame(box.xyxy, random_margins(rng, MARGIN_RATE))
    rows, columns = np.arange(top, bottom), np.arange(left, right)
    crop = _resized(photo[rows % height][:, columns % width], crop_size)
    is_inside = np.outer((rows >= 0) & (rows < height), (columns >= 0) & (columns < width))
    window = whole_mask[rows % height][:, columns % width] * is_inside
    mask = _resized(window.astype(np.uint8), crop_size)
    if rng.random() < 0.5:
        crop, mask = crop[:, ::-1], mask[:, ::-1]
    return TrainBatch(
        student_images=_planes(_colored(crop, rng)),
        teacher_images=_planes(crop),
        box_mask=torch.from_numpy(mask.copy())[None, None],
        box_area=torch.tensor([box.area], dtype=torch.float32),
        positions=torch.tensor([box.position]),
    )


class PlainTrainingStep:
    """One optimiser step after the other.

    Args:
        student: the network that learns.
        num_iter: iterations of the mean field.
    """

    def __init__(self, student: MaskNetwork, *, num_iter: int = 100) -> None:
        self.student = student
        self.teacher = copy.deepcopy(student).eval()
        self.optimizer: Optimizer = AdamW([*self.student.parameters(), *self.teacher.parameters()], lr=1e-5)
        self.losses = (0.0, 0.0)
        self._num_iter = num_iter

    def __call__(self, batch: TrainBatch) -> None:
        """One step; ``losses`` are then the means of MIL and CRF loss before it."""
        images = _normalized(batch.student_images)
        prob = self.student(images, batch.box_area).sigmoid()[:, 0]
        teacher_prob = self.teacher(_normalized(batch.teacher_images), batch.box_area).sigmoid()[:, 0]
        size = list(prob.shape[-2:])
        box_mask = _scaled(batch.box_mask.float(), size)[:, 0]
        mil = _dice(prob.amax(2), box_mask.amax(2)) + _dice(prob.amax(1), box_mask.amax(1))
        mean_prob = ((prob + teacher_prob) / 2).detach()
        soft = unfold_mean_field(_scaled(images, size), mean_prob, box_mask, num_iter=self._num_iter)
        crf = _dice(prob, (soft > 0.5).float())
        (mil + crf).mean().backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        with torch.no_grad():
            for ours, theirs in zip(self.teacher.parameters(), self.student.parameters(), strict=True):
                ours.data = MOMENTUM * ours.data + (1 - MOMENTUM) * theirs.data
        self.losses = (float(mil.mean()), float(crf.mean()))


def _resized(window: np.ndarray, size: int) -> np.ndarray:
    return np.asarray(Image.fromarray(window).resize((size, size), Image.Resampling.BICUBIC))


def _colored(crop: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    image = Image.fromarray(crop)
    if rng.random() < 0.5:
        changes = (colors.adjust_brightness, colors.adjust_contrast, colors.adjust_saturation, colors.adjust_hue)
        ranges = ((0.6, 1.4), (0.6, 1.4), (0.8, 1.2), (-0.1, 0.1))
        amounts = [rng.uniform(*limits) for limits in ranges]
        for index in rng.permutation(len(changes)):
            image = changes[index](image, amounts[index])
    if rng.random() < 0.2:
        image = colors.rgb_to_grayscale(image, num_output_channels=3)
    if rng.random() < 0.5:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.1, 2.0)))
    return np.asarray(image)


def _planes(crop: np.ndarray) -> Tensor:
    return torch.from_numpy(crop.transpose(2, 0, 1).copy())[None]


def _normalized(images: Tensor) -> Tensor:
    mean, std = (torch.tensor(values, device=images.device).view(3, 1, 1) for values in (MEAN, STD))
    return (images.float() / 255 - mean) / std


def _scaled(maps: Tensor, size: list[int]) -> Tensor:
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)


def _dice(prob: Tensor, target: Tensor) -> Tensor:
    prob, target = prob.flatten(1), target.flatten(1)
    squares = prob.square().sum(1) + 0.001 + target.square().sum(1) + 0.001
    return 1 - 2 * (prob * target).sum(1) / squares
