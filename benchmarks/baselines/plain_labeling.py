"""Labelling as the public pipeline does it: everything anew for every box, and at the size of the image.

The photo of each box is opened and decoded again, its box mask is drawn over the whole image, and its probabilities are
pasted into an image of floats, which is thresholded and encoded in the main process.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from pycocotools import mask as mask_utils
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from mal.coco.boxes import Box
from mal.data.crops import IntBox, crop_frame, label_margins
from mal.masks.rle import Rle
from mal.models.inputs import normalize

MARGIN_RATE = (0.6, 0.6)
Crop = tuple[Tensor, Tensor, IntBox, Box]


class PlainCrops(Dataset[Crop]):
    """One crop a box: (3, S, S) uint8, its box mask (1, S, S) uint8, its frame and the box."""

    def __init__(self, boxes: Sequence[Box], img_dir: Path, crop_size: int) -> None:
        self.boxes = boxes
        self.img_dir = img_dir
        self.crop_size = crop_size

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, index: int) -> Crop:
        box = self.boxes[index]
        image = np.asarray(Image.open(self.img_dir / box.image.file_name).convert("RGB"))
        x0, y0, x1, y1 = frame = crop_frame(box.xyxy, label_margins(MARGIN_RATE))
        height, width = image.shape[:2]
        rows, columns = np.arange(y0, y1), np.arange(x0, x1)
        crop = image[rows[:, None] % height, columns % width]
        left, top, right, bottom = (int(side) for side in box.xyxy)
        filled = np.zeros((height, width), dtype=np.uint8)
        filled[top : bottom + 1, left : right + 1] = 1
        inside = ((rows >= 0) & (rows < height))[:, None] & (columns >= 0) & (columns < width)
        box_mask = filled[rows[:, None] % height, columns % width] * inside
        return self._resized(crop).permute(2, 0, 1), self._resized(box_mask)[None], frame, box

    def _resized(self, pixels: np.ndarray) -> Tensor:
        side = (self.crop_size, self.crop_size)
        return torch.from_numpy(np.array(Image.fromarray(pixels).resize(side, Image.Resampling.BICUBIC)))


@torch.inference_mode()
def plain_labels(
    boxes: Sequence[Box],
    img_dir: Path,
    network: nn.Module,
    *,
    crop_size: int,
    threshold: float,
    batch_size: int,
    num_workers: int,
    device: torch.device,
) -> dict[int, Rle]:
    """Masks of boxes by position in the annotations; arguments as of ``mal.tasks.inference.label_boxes``."""
    crops = PlainCrops(boxes, img_dir, crop_size)
    labels = {}
    for batch in DataLoader(crops, batch_size, num_workers=num_workers, collate_fn=list):
        images, box_masks, frames, batch_boxes = zip(*batch, strict=True)
        areas = torch.tensor([box.area for box in batch_boxes], device=device)
        logits = network(normalize(torch.stack(images).to(device)), areas).float()
        probs = F.interpolate(logits, size=(crop_size, crop_size), mode="bilinear", align_corners=False).sigmoid()
        probs = probs * torch.stack(box_masks).to(device).float()
        for box, frame, prob in zip(batch_boxes, frames, probs, strict=True):
            labels[box.position] = _encoded(_full_image(prob, frame, box) > threshold)
    return labels


def _full_image(prob: Tensor, frame: IntBox, box: Box) -> Tensor:
    """(H, W) float32 probabilities, 0 outside the frame."""
    x0, y0, x1, y1 = frame
    resized = F.interpolate(prob[None], size=(y1 - y0, x1 - x0), mode="bilinear", align_corners=False)[0, 0]
    image = torch.zeros(box.image.height, box.image.width, device=prob.device)
    left, top, right, bottom = max(x0, 0), max(y0, 0), min(x1, box.image.width), min(y1, box.image.height)
    image[top:bottom, left:right] = resized[top - y0 : bottom - y0, left - x0 : right - x0]
    return image


def _encoded(mask: Tensor) -> Rle:
    encoded = mask_utils.encode(np.asfortranarray(mask.cpu().numpy().astype(np.uint8)))
    return {"size": list(mask.shape), "counts": encoded["counts"].decode("ascii")}
