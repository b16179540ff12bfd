"""Mean-field refinement in PyTorch, the reference for the faster versions.

Shape letters: B maps, H x W pixels, P pixels of one flattened, padded map.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

# Added to the normalizer of the two classes. Not a guard against zero: with 5 x 5 windows both products fall far
# below it, and the value is then pulled to the lower clamp. Trained models rely on that.
NORMALIZER = 1e-6


@torch.no_grad()
def mean_field_plain(
    image: Tensor,
    prob: Tensor,
    box_mask: Tensor,
    *,
    kernel_size: int,
    num_iter: int,
    zeta: float,
    low: float,
    high: float,
) -> Tensor:
    """Refine foreground probabilities by color. Arguments, all float32, and result as in ``mal.ops.mean_field``.

    Nothing is unfolded: each map is laid out as one padded row, so that a neighbor is a shift of that row, and a pair
    of neighbors shares its weight.
    """
    height, width = prob.shape[-2:]
    radius = kernel_size // 2
    row_length = width + radius  # the padding at a row's end also serves the next row's start
    steps = [(dy, dx) for dy, dx in _half_window(radius) if dy < height and abs(dx) < width]
    offsets = [dy * row_length + dx for dy, dx in steps]
    weights = [_pair_weight(image, dy, dx, row_length, zeta) for dy, dx in steps]

    def flatten(map_bhw: Tensor) -> Tensor:
        return F.pad(map_bhw, (0, radius)).flatten(1)

    inside = flatten(box_mask)
    x = (flatten(prob) * inside).clamp_(low, high)
    log_x = torch.empty(2, *x.shape, device=x.device)  # foreground and background side by side: one kernel for both
    energy = torch.empty_like(log_x)
    for _ in range(num_iter):
        torch.log(x, out=log_x[0])
        torch.log1p(torch.neg(x, out=x), out=log_x[1])
        energy.copy_(log_x)
        for offset, weight in zip(offsets, weights, strict=True):
            energy[:, :, :-offset].addcmul_(log_x[:, :, offset:], weight)
            energy[:, :, offset:].addcmul_(log_x[:, :, :-offset], weight)
        foreground, background = energy.exp_()
        foreground.mul_(inside)
        torch.div(foreground, background.add_(foreground).add_(NORMALIZER), out=x).clamp_(low, high)
    return x.unflatten(1, (height, row_length))[:, :, :width].contiguous()


def _half_window(radius: int) -> list[tuple[int, int]]:
    """The (row, column) steps to one neighbor of each symmetric pair in a window, the center left out."""
    steps = [(dy, dx) for dy in range(radius + 1) for dx in range(-radius, radius + 1)]
    return [(dy, dx) for dy, dx in steps if dy > 0 or dx > 0]


def _pair_weight(image: Tensor, dy: int, dx: int, row_length: int, zeta: float) -> Tensor:
    """Color similarity of each pixel and the one (dy, dx) further, 0 where that one lies outside the image.

    Returns:
        (B, P - offset) float: entry p joins the pixels p and p + offset of the flattened padded map.
    """
    batch, _, height, width = image.shape
    weight = image.new_zeros(batch, height, row_length)
    left, right = max(0, -dx), min(width, width - dx)
    here = image[:, :, : height - dy, left:right]
    there = image[:, :, dy:, left + dx : right + dx]
    weight[:, : height - dy, left:right] = (here - there).square().sum(1).div_(-2 * zeta**2).exp_()
    return weight.flatten(1)[:, : height * row_length - (dy * row_length + dx)].contiguous()
