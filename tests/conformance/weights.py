"""The deterministic weights that the reference was run with, made from a tensor's name and shape."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

NEAR_ZERO, NEAR_ONE = 0.02, 1.0
RUNNING_VARIANCE = "running_var"
AROUND_ONE = ("temperature", "gamma", "gamma1", "gamma2")
LAST_OF_ROI_HEAD = "roi_head.mlp2"  # made larger and shifted, for logits of a useful spread
ROI_WEIGHT_GAIN, ROI_BIAS_SHIFT = 4.0, -0.1


def weight_of(key: str, shape: Sequence[int]) -> np.ndarray[Any, Any]:
    """The tensor of a full key (``student.backbone.cls_token``): float32, or int64 for a counter of batches.

    Numbers come from numpy's default generator, seeded with the CRC-32 of the key, so a tensor depends on nothing else.
    """
    owner, _, name = key.rpartition(".")
    if name == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    normal = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(tuple(shape))
    return _scaled(owner, name, normal).astype(np.float32)


def _scaled(owner: str, name: str, normal: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    ends_roi_head = owner.endswith(LAST_OF_ROI_HEAD)
    if name == RUNNING_VARIANCE:
        return NEAR_ONE + NEAR_ZERO * np.abs(normal)
    if name in AROUND_ONE or (name == "weight" and normal.ndim == 1):
        return NEAR_ONE + NEAR_ZERO * normal
    if name == "weight":
        return normal * ((ROI_WEIGHT_GAIN if ends_roi_head else 1.0) / math.sqrt(math.prod(normal.shape[1:])))
    if name == "bias" and ends_roi_head:
        return NEAR_ZERO * normal + ROI_BIAS_SHIFT
    return NEAR_ZERO * normal
