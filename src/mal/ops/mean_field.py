"""Mean-field refinement: moves a soft mask to the color edges of its image.

This is the front door. ``mean_field_plain`` holds the formula for every device and is the reference; the others compute
the same, faster: ``mean_field_numba`` on a CPU, ``mean_field_triton`` on a GPU.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from importlib import import_module

import torch
from torch import Tensor

from mal.ops.mean_field_plain import mean_field_plain

LOG = logging.getLogger(__name__)
FAST_VERSIONS = {"cpu": "mean_field_numba", "cuda": "mean_field_triton"}  # by device: a module and its function


@torch.no_grad()
def mean_field(
    image: Tensor,
    prob: Tensor,
    box_mask: Tensor,
    *,
    kernel_size: int = 3,
    num_iter: int = 100,
    zeta: float = 0.1,
    low: float = 0.1,
    high: float = 0.9,
) -> Tensor:
    """Refine foreground probabilities by the colours of neighbouring pixels.

    Pixels of similar colour inside a ``kernel_size`` window pull each other to the same side; everything outside the
    box is background. The fastest version that the inputs' device and the settings allow computes it; all agree up to
    float rounding.

    Source: MAL (arXiv 2301.03992), section 3.3, conditional random field loss.

    Args:
        image: (B, 3, H, W) float, colours as the network sees them (normalised by ImageNet's mean and deviation).
        prob: (B, H, W) float in 0..1, foreground probabilities.
        box_mask: (B, H, W) float in 0..1, 1 inside the box.
        kernel_size: side of the square window, odd.
        num_iter: number of iterations, 0 or more.
        zeta: bandwidth of the colour similarity, in units of ``image``.
        low: lower clamp of the probabilities.
        high: upper clamp of the probabilities.

    Returns:
        (B, H, W) float32 in ``low``..``high``: the foreground probability after the last iteration. The refined
        mask is where it exceeds 0.5. NaN or an infinity in a map makes NaN of its neighbours or, in the faster
        versions, of the whole map.

    Raises:
        ValueError: ``kernel_size`` is not odd and positive.
    """
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise ValueError(f"kernel_size must be odd and positive, not {kernel_size}")
    image, prob, box_mask = (tensor.detach().float() for tensor in (image, prob, box_mask))
    fast = fast_version(prob.device.type)
    suits = fast is not None and 0 < low <= high < 1 and zeta > 0 and _are_plain_maps(image, prob, box_mask)
    compute = fast if fast is not None and suits else mean_field_plain
    return compute(image, prob, box_mask, kernel_size=kernel_size, num_iter=num_iter, zeta=zeta, low=low, high=high)


@cache
def fast_version(device_type: str) -> Callable[..., Tensor] | None:
    """The faster version for a kind of device, None where there is none or where what it needs is missing or broken.

    The first call compiles it and tries it out, which takes some seconds; later processes find it in a cache on disk.
    """
    name = FAST_VERSIONS.get(device_type)
    if name is None:
        return None
    try:
        version: Callable[..., Tensor] = getattr(import_module(f"mal.ops.{name}"), name)
        nothing = torch.zeros(1, 5, 8, 8, device=device_type)
        version(nothing[:, :3], nothing[:, 3], nothing[:, 4], kernel_size=3, num_iter=1, zeta=0.1, low=0.1, high=0.9)
        return version
    except Exception as error:  # noqa: BLE001 - a compiler fails in many ways, and the plain version needs none
        LOG.debug("mean field goes the plain way on %s: %s", device_type, error)
        return None


def _are_plain_maps(image: Tensor, prob: Tensor, box_mask: Tensor) -> bool:
    """Whether the three are what the fast versions read without looking: maps of one size, on one device."""
    batch, height, width = prob.shape if prob.dim() == 3 else (0, 0, 0)
    if prob.numel() == 0 or image.shape != (batch, 3, height, width) or box_mask.shape != prob.shape:
        return False
    return image.device == prob.device == box_mask.device
