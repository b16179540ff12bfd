"""Mean-field refinement as the formula reads: every pixel's window is copied out, weighted and summed.

Shape letters: B maps, H x W pixels, K = kernel_size² places of a window.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


@torch.no_grad()
def unfold_mean_field(
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
    """Refine foreground probabilities by colour. Arguments and result as in ``mal.ops.mean_field.mean_field``."""
    inside = _windows(torch.ones_like(image[:, :1]), kernel_size)
    difference = _windows(image, kernel_size) - image.unsqueeze(2)
    weight = torch.exp(-difference.square().sum(1, keepdim=True) / (2 * zeta**2)) * inside  # (B, 1, K, H, W)
    x = (prob * box_mask).clamp(low, high)
    for _ in range(num_iter):
        energy = torch.stack([-torch.log(x), -torch.log(1 - x)], dim=1)  # (B, 2, H, W), foreground and background
        product = torch.exp(-(weight * _windows(energy, kernel_size)).sum(2))
        foreground, background = product[:, 0] * box_mask, product[:, 1]
        x = (foreground / (1e-6 + background + foreground)).clamp(low, high)
    return x


def _windows(maps: Tensor, kernel_size: int) -> Tensor:
    """The window around every pixel, 0 outside the map: (B, C, H, W) -> (B, C, K, H, W)."""
    columns = F.unfold(maps, kernel_size, padding=kernel_size // 2)
    return columns.view(maps.shape[0], maps.shape[1], kernel_size**2, *maps.shape[2:])
