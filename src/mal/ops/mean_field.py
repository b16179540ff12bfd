"""Mean-field refinement: pulls a soft mask towards the colour edges of its image.

Shape letters: B maps, H x W pixels, P pixels of one flattened, padded map.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

# Added to the normaliser of the two classes. Not a guard against zero: with 5 x 5 windows both products fall far
# below it, and the value is then pulled to the lower clamp. Trained models rely on that.
NORMALISER = 1e-6


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
    box is background. Nothing is unfolded: each map is laid out as one padded row, so that a neighbour is a shift of
    that row, and a pair of neighbours shares its weight.

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
        mask is where it exceeds 0.5.
    """
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise ValueError(f"kernel_size must be odd and positive, not {kernel_size}")
    image, prob, box_mask = image.float(), prob.float(), box_mask.float()
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
        torch.div(foreground, background.add_(foreground).add_(NORMALISER), out=x).clamp_(low, high)
    return x.unflatten(1, (height, row_length))[:, :, :width].contiguous()


def _half_window(radius: int) -> list[tuple[int, int]]:
    """The (row, column) steps to one neighbour of each symmetric pair in a window, the centre left out."""
    steps = [(dy, dx) for dy in range(radius + 1) for dx in range(-radius, radius + 1)]
    return [(dy, dx) for dy, dx in steps if dy > 0 or dx > 0]


def _pair_weight(image: Tensor, dy: int, dx: int, row_length: int, zeta: float) -> Tensor:
    """Colour similarity of each pixel and the one (dy, dx) further, 0 where that one lies outside the image.

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
