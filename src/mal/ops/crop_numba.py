"""Crop and resize in one function compiled by numba.

The numbers are those of Pillow's bicubic resize, to the bit: weights of 22 fractional bits, along one axis, rounded to
bytes, then along the other. Which axis is the first depends on Pillow's version, so the caller says it. What is saved
is the way into Pillow's images and back, the copy of the frame, and the change of layout; and planes of one color let
the processor do many pixels at once.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, types

from mal.ops.compiled import compiled

_BITS = 22  # of Pillow's weights for bytes, after the point
_HALF = 1 << (_BITS - 1)
_SUPPORT = 2.0  # pixels on either side that a bicubic kernel covers
_TILE = 16


@njit(inline="always")
def _bicubic(x):  # type: ignore[no-untyped-def]
    x = abs(x)
    if x < 1.0:
        return ((-0.5 + 2.0) * x - (-0.5 + 3.0)) * x * x + 1
    if x < 2.0:
        return (((x - 5) * x + 8) * x - 4) * -0.5
    return 0.0


@njit
def _weights(length, size):  # type: ignore[no-untyped-def]
    """First input, number of inputs and their weights for each of ``size`` outputs of ``length`` inputs."""
    scale = length / size
    stretch = max(scale, 1.0)
    support = _SUPPORT * stretch
    most = math.ceil(support) * 2 + 1
    first, count = np.empty(size, np.intp), np.empty(size, np.intp)
    weights = np.zeros((size, most + 3), np.int32)
    exact = np.empty(most)
    for index in range(size):
        center = (index + 0.5) * scale
        start = max(0, int(center - support + 0.5))
        number = min(length, int(center + support + 0.5)) - start
        total = 0.0
        for j in range(number):
            exact[j] = _bicubic((j + start - center + 0.5) * (1.0 / stretch))
            total += exact[j]
        for j in range(number):
            weight = exact[j] / total * (1 << _BITS) if total != 0.0 else exact[j] * (1 << _BITS)
            weights[index, j] = int(weight - 0.5) if weight < 0 else int(weight + 0.5)
        first[index], count[index] = start, number
    return first, count, weights


@njit(inline="always")
def _times(weight, value):  # type: ignore[no-untyped-def]
    """A product in 32 bits, which numba would widen to 64."""
    return np.int32(weight * np.int32(value))


@njit
def _resize_rows(source, size, result):  # type: ignore[no-untyped-def]
    """Resize the first axis of bytes (length, width) to ``size``, into ``result`` (size, width)."""
    length, width = source.shape
    if length == size:
        result[:] = source
        return
    first, count, weights = _weights(length, size)
    sums = np.empty(width, np.int32)
    for y in range(size):
        for x in range(width):
            sums[x] = _HALF
        for j in range(0, count[y], 4):  # weights beyond the last are 0
            w0, w1, w2, w3 = weights[y, j], weights[y, j + 1], weights[y, j + 2], weights[y, j + 3]
            start, last = first[y] + j, length - 1
            a, b = source[start], source[min(start + 1, last)]
            c, d = source[min(start + 2, last)], source[min(start + 3, last)]
            for x in range(width):
                sums[x] += _times(w0, a[x]) + _times(w1, b[x]) + _times(w2, c[x]) + _times(w3, d[x])
        for x in range(width):
            result[y, x] = np.uint8(min(max(sums[x] >> _BITS, 0), 255))


@njit
def _transpose(source, result):  # type: ignore[no-untyped-def]
    height, width = source.shape
    for top in range(0, height, _TILE):
        for left in range(0, width, _TILE):
            for y in range(top, min(top + _TILE, height)):
                for x in range(left, min(left + _TILE, width)):
                    result[x, y] = source[y, x]


@njit
def _planes(image, rows, columns):  # type: ignore[no-untyped-def]
    """The pixels of some rows and columns, (3, columns, rows)."""
    planes = np.empty((3, columns.size, rows.size), np.uint8)
    for top in range(0, rows.size, _TILE):
        for j in range(columns.size):
            column = columns[j]
            for i in range(top, min(top + _TILE, rows.size)):
                for color in range(3):
                    planes[color, j, i] = image[rows[i], column, color]
    return planes


_IMAGE, _INDICES = types.Array(types.uint8, 3, "A", readonly=True), types.intp[::1]


@compiled(types.void(_IMAGE, _INDICES, _INDICES, types.uint8[:, :, ::1], types.boolean, types.boolean))
def crop_and_resize(image, rows, columns, result, mirrored, height_first):  # type: ignore[no-untyped-def]
    """Fill ``result`` (3, S, S) from the ``rows`` and ``columns`` of an image (H, W, 3), bytes both.

    ``mirrored`` swaps left and right; ``height_first`` resizes the height before the width.
    """
    size = result.shape[1]
    whole = _planes(image, rows, columns)
    upright, turned = np.empty((rows.size, columns.size), np.uint8), np.empty((columns.size, size), np.uint8)
    low, narrow = np.empty((size, columns.size), np.uint8), np.empty((size, rows.size), np.uint8)
    small, narrowed = np.empty((size, size), np.uint8), np.empty((rows.size, size), np.uint8)
    for color in range(3):
        if height_first:
            _transpose(whole[color], upright)
            _resize_rows(upright, size, low)
            _transpose(low, turned)
            _resize_rows(turned, size, small)
            _transpose(small[::-1] if mirrored else small, result[color])
        else:
            _resize_rows(whole[color], size, narrow)
            _transpose(narrow[::-1] if mirrored else narrow, narrowed)
            _resize_rows(narrowed, size, result[color])
