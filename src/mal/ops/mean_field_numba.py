"""Mean-field refinement on a CPU, compiled by numba.

Four things make it fast. A map is worked on in vectors of neighboring pixels of a row, with both sums, both
exponentials and both logarithms in one go, so that an iteration reads and writes each value once. Only the window that
the box covers is worked on: outside, every value stays at the lower clamp. A pair of neighbors shares its weight. And
a vector is computed again only when something within its reach has changed in the iteration before: else the result
would be the same, bit by bit, and most pixels soon stand at a clamp.

Logarithms and exponentials are to base 2 throughout: the formula only ever uses one as the other's inverse.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numba import njit, types
from torch import Tensor

from mal.ops.compiled import compiled
from mal.ops.mean_field_plain import NORMALIZER, mean_field_plain
from mal.ops.numba_vectors import (
    LANES,
    add,
    at_least,
    at_most,
    differ,
    div,
    exp2,
    fma,
    load,
    log2,
    mul,
    store,
    sub,
)

MAX_RADIUS = LANES  # a neighbor lies in the same vector or in the one beside it
_ONE = np.float32(1)
_NORMALIZER = np.float32(NORMALIZER)
_FAR_COLOR = np.float32(1e15)  # of pixels outside the image: their weight comes to nothing
_MAP, _IMAGE = types.float32[:, ::1], types.float32[:, :, ::1]


def mean_field_numba(
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

    The maps of a batch are shared out to as many threads as torch may use. They live for one call: nothing is left
    behind that a fork could break, and numba's own thread pools stay untouched.
    """
    radius = kernel_size // 2
    if radius > MAX_RADIUS:
        return mean_field_plain(
            image, prob, box_mask, kernel_size=kernel_size, num_iter=num_iter, zeta=zeta, low=low, high=high
        )
    result = torch.empty_like(prob, memory_format=torch.contiguous_format)
    arrays = [tensor.contiguous().numpy() for tensor in (image, prob, box_mask)] + [result.numpy()]
    exponent_scale = np.float32(-1 / (2 * zeta**2 * math.log(2)))

    def refine_map(index: int) -> None:
        image, prob, box_mask, refined = (array[index] for array in arrays)
        limits = np.float32(low), np.float32(high)
        _refine(image, prob, box_mask, refined, radius, num_iter, exponent_scale, *limits)

    threads = min(len(prob), torch.get_num_threads())
    if threads == 1:
        for index in range(len(prob)):
            refine_map(index)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(refine_map, range(len(prob))))
    return result


@njit(fastmath={"reassoc"})
def _sum(array):  # type: ignore[no-untyped-def]
    """The sum in any order, which LLVM can vectorise."""
    flat = array.ravel()
    total = np.float32(0)
    for i in range(flat.size):
        total += flat[i]
    return total


@njit
def _box_window(box_mask):  # type: ignore[no-untyped-def]
    """First row, end of rows, first column, end of columns of what is not 0; all 0 where nothing is."""
    height, width = box_mask.shape
    top, bottom, left, right = height, 0, width, 0
    for y in range(height):
        for x in range(width):
            if box_mask[y, x] != 0:
                top, bottom, left, right = min(top, y), y + 1, min(left, x), max(right, x + 1)
    return (top, bottom, left, right) if bottom > 0 else (0, 0, 0, 0)


@njit
def _pair_weights(colors, rows, stride, radius, exponent_scale):  # type: ignore[no-untyped-def]
    """The color similarity of every pixel and one neighbor of each symmetric pair of a window.

    Returns:
        The weights, flat, one plane a pair, and for each pair the step from a pixel to its neighbor.
    """
    plane = colors.size // 3
    pairs = ((2 * radius + 1) ** 2 - 1) // 2
    steps = np.empty(pairs, np.intp)
    weights = np.empty(pairs * plane, np.float32)
    pair = 0
    for dy in range(radius + 1):
        for dx in range(-radius if dy > 0 else 1, radius + 1):
            step = dy * stride + dx
            for i in range((radius - dy) * stride, (rows - radius) * stride, LANES):
                red = sub(load(colors, i), load(colors, i + step))
                green = sub(load(colors, plane + i), load(colors, plane + i + step))
                blue = sub(load(colors, 2 * plane + i), load(colors, 2 * plane + i + step))
                distance = fma(red, red, fma(green, green, mul(blue, blue)))
                store(weights, pair * plane + i, exp2(mul(distance, exponent_scale)))
            steps[pair] = step
            pair += 1
    return weights, steps


@njit
def _iterate(value, inside, weights, steps, rows, stride, radius, num_iter, low, high):  # type: ignore[no-untyped-def]
    """Clamp ``value`` and refine it, in place."""
    plane = value.size
    vectors = stride // LANES - 2
    # One iteration reads the logarithms of one half and writes those of the other: of x first, then of 1 - x.
    logs = np.empty(4 * plane, np.float32)
    for i in range(0, plane, LANES):
        x = at_most(at_least(mul(load(value, i), load(inside, i)), low), high)
        store(value, i, x)
        for half in range(0, 4 * plane, 2 * plane):
            store(logs, half + i, log2(x))
            store(logs, half + plane + i, log2(sub(_ONE, x)))
    # stale[t % 2, y, v]: iteration t has to compute this vector. A vector that it need not compute holds, in both
    # halves, what it came to two iterations ago and kept in the last.
    stale = np.zeros((2, rows, vectors + 2), np.bool_)
    stale[0, radius : rows - radius, 1 : vectors + 1] = True
    for t in range(num_iter):
        old_half = t % 2 * 2 * plane
        new_half = 2 * plane - old_half
        now, then = stale[t % 2], stale[1 - t % 2]
        num_changed = 0
        for y in range(radius, rows - radius):
            for v in range(1, vectors + 1):
                if not now[y, v]:
                    continue
                now[y, v] = False
                i = y * stride + v * LANES
                foreground, background = load(logs, old_half + i), load(logs, old_half + plane + i)
                for pair in range(steps.size):
                    step = steps[pair]
                    weight, back_weight = load(weights, pair * plane + i), load(weights, pair * plane + i - step)
                    there, back = old_half + i + step, old_half + i - step
                    foreground = fma(weight, load(logs, there), foreground)
                    background = fma(weight, load(logs, plane + there), background)
                    foreground = fma(back_weight, load(logs, back), foreground)
                    background = fma(back_weight, load(logs, plane + back), background)
                foreground = mul(exp2(foreground), load(inside, i))
                total = add(add(exp2(background), foreground), _NORMALIZER)
                x = at_most(at_least(div(foreground, total), low), high)
                store(logs, new_half + i, log2(x))
                store(logs, new_half + plane + i, log2(sub(_ONE, x)))
                if differ(x, load(value, i)):
                    store(value, i, x)
                    for row in range(y - radius, y + radius + 1):
                        then[row, v - 1] = then[row, v] = then[row, v + 1] = True
                    num_changed += 1
        if num_changed == 0:
            break


@compiled(types.void(_IMAGE, _MAP, _MAP, _MAP, types.intp, types.intp, *[types.float32] * 3))
def _refine(image, prob, box_mask, result, radius, num_iter, exponent_scale, low, high):  # type: ignore[no-untyped-def]
    """Fill ``result`` (H, W) from ``image`` (3, H, W), ``prob`` and ``box_mask`` (H, W).

    The box's window lies in flat planes, with ``radius`` rows above and below it and a vector on its left and right.
    """
    if not math.isfinite(_sum(image) + _sum(prob) + _sum(box_mask)):
        result[:] = math.nan
        return
    result[:] = low
    top, bottom, left, right = _box_window(box_mask)
    rows = bottom - top + 2 * radius
    stride = ((right - left + LANES - 1) // LANES + 2) * LANES
    plane = rows * stride + LANES
    colors = np.full(3 * plane, _FAR_COLOR, np.float32)
    for y in range(max(0, top - radius), min(image.shape[1], bottom + radius)):
        for x in range(max(0, left - radius), min(image.shape[2], right + radius)):
            i = (y - top + radius) * stride + x - left + LANES
            for channel in range(3):
                colors[channel * plane + i] = image[channel, y, x]
    weights, steps = _pair_weights(colors, rows, stride, radius, exponent_scale)
    inside, value = np.zeros(plane, np.float32), np.zeros(plane, np.float32)
    for y in range(top, bottom):
        for x in range(left, right):
            i = (y - top + radius) * stride + x - left + LANES
            inside[i], value[i] = box_mask[y, x], prob[y, x]
    _iterate(value, inside, weights, steps, rows, stride, radius, num_iter, low, high)
    for y in range(top, bottom):
        for x in range(left, right):
            result[y, x] = value[(y - top + radius) * stride + x - left + LANES]
