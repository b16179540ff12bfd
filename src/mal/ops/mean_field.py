"""Mean-field refinement: aligns a soft mask with color edges of its image; picks the fastest version.

``mean_field_plain`` is the reference for every device; ``mean_field_numba`` (CPU) and ``mean_field_triton`` (GPU)
compute the same, faster.
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
    """Refine foreground probabilities by the colors of neighboring pixels.

    Pixels of similar color inside a ``kernel_size`` window pull each other to the same side; everything outside the
    box is background. The fastest version that the inputs' device and the settings allow computes it; all agree up to
    float rounding.

    Source: MAL (arXiv 2301.03992), section 3.3, conditional random field loss.

    Args:
        image: (B, 3, H, W) float, colors as the network sees them (normalized by ImageNet's mean and deviation).
        prob: (B, H, W) float in 0..1, foreground probabilities.
        box_mask: (B, H, W) float in 0..1, 1 inside the box.
        kernel_size: side of the square window, odd.
        num_iter: number of iterations, 0 or more.
        zeta: bandwidth of the color similarity, in units of ``image``.
        low: lower clamp of the probabilities.
        high: upper clamp of the probabilities.

    Returns:
        (B, H, W) float32 in ``low``..``high``: the foreground probability after the last iteration. The refined
        mask is where it exceeds 0.5. NaN or an infinity in a map makes NaN of its neighbors or, in the faster
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
    """Find the fast version for a device type; None if there is none or its compiler is missing or broken.

    The first call compiles and tests it, which takes some seconds; later processes load it from a cache on disk.
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
    """Whether the fast versions, which do not check their input, can read the three: same size and device."""
    batch, height, width = prob.shape if prob.dim() == 3 else (0, 0, 0)
    if prob.numel() == 0 or image.shape != (batch, 3, height, width) or box_mask.shape != prob.shape:
        return False
    return image.device == prob.device == box_mask.device
