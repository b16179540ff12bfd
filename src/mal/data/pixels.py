"""Between stored pixels and what the network sees."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def to_tensor(crop: np.ndarray) -> Tensor:
    """(H, W, 3) uint8 array to (3, H, W) uint8 tensor."""
    return torch.from_numpy(np.ascontiguousarray(crop.transpose(2, 0, 1)))


def normalize(images: Tensor) -> Tensor:
    """(B, 3, H, W) uint8 to float32, by ImageNet's mean and deviation.

    Images stay bytes until they are on the device: a quarter of the traffic between processes and to a GPU.
    """
    mean = torch.tensor(IMAGENET_MEAN, device=images.device).view(3, 1, 1)
    std = torch.tensor(IMAGENET_STD, device=images.device).view(3, 1, 1)
    return (images / 255).sub_(mean).div_(std)  # in place: passes over fresh memory would cost more than the sums
