"""Mean-field refinement on a GPU as one Triton kernel.

A program keeps one tile of a map, its weights and its box in registers and does several iterations in one launch. What
its threads tell each other in between goes through a scratch area of a few kilobytes that only they touch, and that the
first-level cache therefore holds. Other programs are not heard meanwhile, so a tile has a rim whose values go wrong,
``radius`` pixels deeper each iteration: the rim is computed by the neighbors too, and only the core is kept.
"""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from mal.ops.mean_field_plain import NORMALIZER, mean_field_plain

RIM = 8  # rows and columns around a tile's core
# By radius: rows and columns of a tile, and warps. A thread has 4 pixels, whose 8 or 24 weights each fit into the
# registers that a block of so many warps may use; 48 would not.
TILES = {1: (32, 64, 16), 2: (32, 32, 8)}


def mean_field_triton(
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
    """Refine foreground probabilities by color. Arguments, all float32, and result as in ``mal.ops.mean_field``."""
    radius = kernel_size // 2
    if radius not in TILES:
        return mean_field_plain(
            image, prob, box_mask, kernel_size=kernel_size, num_iter=num_iter, zeta=zeta, low=low, high=high
        )
    image, box_mask = image.contiguous(), box_mask.contiguous()
    batch, height, width = prob.shape
    rows, columns, num_warps = TILES[radius]
    tiles_down, tiles_across = triton.cdiv(height, rows - 2 * RIM), triton.cdiv(width, columns - 2 * RIM)
    scratch = prob.new_empty(batch, tiles_down * tiles_across, 2, 2, rows * columns)
    old = (prob * box_mask).clamp_(low, high).contiguous()
    new = torch.empty_like(old)
    steps_per_launch = RIM // radius
    with torch.cuda.device_of(prob):  # where Triton launches
        for done in range(0, num_iter, steps_per_launch):
            _iterate_tiles[(tiles_down * tiles_across, batch)](
                image,
                box_mask,
                old,
                new,
                scratch,
                height,
                width,
                tiles_across,
                min(steps_per_launch, num_iter - done),
                -1 / (2 * zeta**2 * math.log(2)),
                low,
                high,
                NORMALIZER,
                RADIUS=radius,
                RIM=RIM,
                ROWS=rows,
                COLUMNS=columns,
                num_warps=num_warps,
                enable_fp_fusion=True,
            )
            old, new = new, old
    return old


@triton.jit
def _iterate_tiles(  # type: ignore[no-untyped-def]
    image,  # (B, 3, H, W)
    box_mask,  # (B, H, W), as are the next two
    old,
    new,
    scratch,  # (B, tiles, 2 halves, 2 sums, ROWS * COLUMNS)
    height,
    width,
    tiles_across,
    num_steps,
    exponent_scale,
    low,
    high,
    normalizer,
    RADIUS: tl.constexpr,  # noqa: N803 - Triton's constants are written so
    RIM: tl.constexpr,  # noqa: N803
    ROWS: tl.constexpr,  # noqa: N803
    COLUMNS: tl.constexpr,  # noqa: N803
):
    """Do ``num_steps`` iterations of one tile of one map."""
    tile, index = tl.program_id(0), tl.program_id(1).to(tl.int64)
    area = height * width
    row, column = tl.arange(0, ROWS)[:, None], tl.arange(0, COLUMNS)[None, :]
    y = tile // tiles_across * (ROWS - 2 * RIM) - RIM + row
    x = tile % tiles_across * (COLUMNS - 2 * RIM) - RIM + column
    in_image = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    here = y * width + x
    inside = tl.load(box_mask + index * area + here, in_image, 0.0)
    value = tl.load(old + index * area + here, in_image, low)

    colors = image + index * 3 * area
    red = tl.load(colors + here, in_image, 0.0)
    green = tl.load(colors + area + here, in_image, 0.0)
    blue = tl.load(colors + 2 * area + here, in_image, 0.0)
    weights = ()
    for dy in tl.static_range(-RADIUS, RADIUS + 1):
        for dx in tl.static_range(-RADIUS, RADIUS + 1):
            there = here + dy * width + dx
            exists = in_image & (y + dy >= 0) & (y + dy < height) & (x + dx >= 0) & (x + dx < width)
            d_red = red - tl.load(colors + there, exists, 0.0)
            d_green = green - tl.load(colors + area + there, exists, 0.0)
            d_blue = blue - tl.load(colors + 2 * area + there, exists, 0.0)
            weight = tl.exp2((d_red * d_red + d_green * d_green + d_blue * d_blue) * exponent_scale)
            weights = weights + (tl.where(exists, weight, 0.0),)  # type: ignore[assignment] # noqa: RUF005

    half_size: tl.constexpr = 2 * ROWS * COLUMNS
    place = row * COLUMNS + column
    halves = scratch + (index * tl.num_programs(0) + tile) * 2 * half_size
    for step in range(num_steps):
        # Each iteration writes the half that nobody still reads, so one barrier is enough.
        logs = halves + step % 2 * half_size
        log_foreground, log_background = tl.log2(value), tl.log2(1 - value)
        tl.store(logs + place, log_foreground)
        tl.store(logs + ROWS * COLUMNS + place, log_background)
        tl.debug_barrier()
        foreground, background = log_foreground, log_background
        for dy in tl.static_range(-RADIUS, RADIUS + 1):
            for dx in tl.static_range(-RADIUS, RADIUS + 1):
                if dy != 0 or dx != 0:
                    weight = weights[(dy + RADIUS) * (2 * RADIUS + 1) + dx + RADIUS]
                    in_tile = (row + dy >= 0) & (row + dy < ROWS) & (column + dx >= 0) & (column + dx < COLUMNS)
                    there = place + dy * COLUMNS + dx
                    foreground += weight * tl.load(logs + there, in_tile, 0.0)
                    background += weight * tl.load(logs + ROWS * COLUMNS + there, in_tile, 0.0)
        foreground = tl.exp2(foreground) * inside
        value = foreground / (tl.exp2(background) + foreground + normalizer)
        value = tl.where(value < low, low, value)  # NaN stays NaN
        value = tl.where(value > high, high, value)

    in_core = (row >= RIM) & (row < ROWS - RIM) & (column >= RIM) & (column < COLUMNS - RIM)
    tl.store(new + index * area + here, value, in_core & in_image)
