"""Crops as the networks take them: tensors on their device, normalized."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mal.data.crops import IMAGENET_MEAN, IMAGENET_STD
from mal.data.label_dataset import CropBatch


@dataclass(frozen=True, slots=True)
class NetworkInputs:
    """A batch of crops on a device.

    Attributes:
        images: (B, 3, S, S) float32, normalized.
        box_mask: (B, 1, S, S) uint8, 0 or 1.
        box_area: (B,) float32, pixels of the full image.
        box_input: (B, 1, S, S) uint8, 0 or 1, the boxes as networks see them.
    """

    images: Tensor
    box_mask: Tensor
    box_area: Tensor
    box_input: Tensor


def network_inputs(batch: CropBatch, device: torch.device | str) -> NetworkInputs:
    """Bring a batch to a device; to a GPU through page-locked memory, while others go on."""
    images, box_mask, box_area = (
        _on_device(array, torch.device(device)) for array in (batch.images, batch.box_mask, batch.box_area)
    )
    box_input = box_mask if batch.box_input is None else _on_device(batch.box_input, torch.device(device))
    return NetworkInputs(normalize(images), box_mask, box_area, box_input)


def _on_device(array: npt.NDArray[np.generic], device: torch.device) -> Tensor:
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def normalize(images: Tensor) -> Tensor:
    """(B, 3, H, W) uint8 to float32, by ImageNet's mean and deviation.

    Images stay bytes until they are on the device: a quarter of the traffic between processes and to a GPU.
    """
    mean = torch.tensor(IMAGENET_MEAN, device=images.device).view(3, 1, 1)
    std = torch.tensor(IMAGENET_STD, device=images.device).view(3, 1, 1)
    return (images / 255).sub_(mean).div_(std)  # in place: passes over fresh memory would cost more than the sums
