"""Color augmentation in place, compiled by numba, with Pillow's numbers.

Images are three planes of bytes, (3, H, W). Formulas of a pixel follow Pillow in the width of every intermediate
number: fractions are cut off to give a byte, and a float of another width would now and then give its neighbor.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from mal.ops.compiled import compiled

_PLANES = types.uint8[:, :, ::1]
_ROUND24 = np.uint32(1 << 23)


@njit(inline="always")
def _gray(red, green, blue):  # type: ignore[no-untyped-def]
    """Luma of ITU-R 601 in 16 fractional bits."""
    return (np.uint32(red) * 19595 + np.uint32(green) * 38470 + np.uint32(blue) * 7471 + 0x8000) >> 16


@njit(inline="always")
def _blend(gray, value, factor):  # type: ignore[no-untyped-def]
    mixed = gray + factor * (np.float32(value) - gray)
    return np.uint8(np.int32(min(max(mixed, np.float32(0)), np.float32(255))))


@njit(inline="always")
def _cut(x):  # type: ignore[no-untyped-def]
    """Whole part of a number from 0 on."""
    return np.float64(np.int32(x))


@njit(inline="always")
def _hue(red, green, blue, value, chroma):  # type: ignore[no-untyped-def]
    """0..255; 0 for grays."""
    divisor = max(chroma, np.float32(1))
    from_red, from_green, from_blue = (value - red) / divisor, (value - green) / divisor, (value - blue) / divisor
    after_red = from_blue - from_green
    after_green = np.float32(2.0 + np.float64(from_red) - np.float64(from_blue))
    after_blue = np.float32(4.0 + np.float64(from_green) - np.float64(from_red))
    angle = after_red if red == value else (after_green if green == value else after_blue)
    turns = np.float64(angle) / 6.0 + 1.0
    return _cut(np.float64(np.float32(turns - 1.0 if turns >= 1.0 else turns)) * 255.0)


@njit(inline="always")
def _share(value, part):  # type: ignore[no-untyped-def]
    return np.int32(value * part + 0.5)


@njit(inline="always")
def _choose(index, a, b, c, d, e, f):  # type: ignore[no-untyped-def]
    first = a if index == 0.0 else (b if index == 1.0 else c)
    last = d if index == 3.0 else (e if index == 4.0 else f)
    return np.uint8(first if index < 3.0 else last)


@njit(inline="always")
def _weighed(pixels, weight):  # type: ignore[no-untyped-def]
    """A product in 32 bits, which numba would widen to 64."""
    return np.uint32(np.uint32(pixels) * weight)


@njit(inline="always")
def _mean_of_five(a, b, c, d, e, near, middle, far):  # type: ignore[no-untyped-def]
    outer, inner = np.uint32(np.uint32(a) + np.uint32(e)), np.uint32(np.uint32(b) + np.uint32(d))
    both = np.uint32(_weighed(inner, middle) + _weighed(outer, far))
    return np.uint8(np.uint32(np.uint32(_weighed(c, near) + both) + _ROUND24) >> np.uint32(24))


@compiled(types.int64(_PLANES))
def sum_of_gray(image):  # type: ignore[no-untyped-def]
    """Sum of all pixels' luma, each a byte."""
    total = 0
    for y in range(image.shape[1]):
        red, green, blue = image[0, y], image[1, y], image[2, y]
        of_row = np.uint32(0)
        for x in range(image.shape[2]):
            of_row += _gray(red[x], green[x], blue[x])
        total += of_row
    return total


@compiled(types.void(_PLANES, types.uint8[::1]))
def look_up(image, table):  # type: ignore[no-untyped-def]
    """Replace every byte by its entry in a table of 256."""
    flat = image.reshape(-1)
    for index in range(flat.size):
        flat[index] = table[flat[index]]


@compiled(types.void(_PLANES, types.float32))
def saturate(image, factor):  # type: ignore[no-untyped-def]
    """Move every pixel away from its gray by a factor: 0 makes it gray, 1 leaves it."""
    for y in range(image.shape[1]):
        red, green, blue = image[0, y], image[1, y], image[2, y]
        for x in range(image.shape[2]):
            gray = np.float32(_gray(red[x], green[x], blue[x]))
            red[x] = _blend(gray, red[x], factor)
            green[x] = _blend(gray, green[x], factor)
            blue[x] = _blend(gray, blue[x], factor)


@compiled(types.void(_PLANES))
def to_gray(image):  # type: ignore[no-untyped-def]
    """Give all three planes the luma."""
    for y in range(image.shape[1]):
        red, green, blue = image[0, y], image[1, y], image[2, y]
        for x in range(image.shape[2]):
            red[x] = green[x] = blue[x] = np.uint8(_gray(red[x], green[x], blue[x]))


@compiled(types.void(_PLANES, types.float64))
def shift_hue(image, shift):  # type: ignore[no-untyped-def]
    """Turn the hue, a byte for the whole circle, by ``shift``: to HSV in bytes and back."""
    for y in range(image.shape[1]):
        reds, greens, blues = image[0, y], image[1, y], image[2, y]
        for x in range(image.shape[2]):
            red, green, blue = np.float32(reds[x]), np.float32(greens[x]), np.float32(blues[x])
            value = max(red, max(green, blue))
            chroma = value - min(red, min(green, blue))
            hue = _hue(red, green, blue, value, chroma) + shift
            sixths = (hue - 256.0 if hue >= 256.0 else hue) * 6.0 / 255.0
            sixth = _cut(sixths)
            rest = np.float64(np.float32(sixths - sixth))
            sixth = sixth if sixth < 6.0 else 0.0
            saturation = _cut(np.float64(chroma / max(value, np.float32(1))) * 255.0)
            part, whole = np.float64(np.float32(saturation / 255.0)), np.float64(value)
            lowest, top = _share(whole, 1.0 - part), np.int32(value)
            falling, rising = _share(whole, 1.0 - part * rest), _share(whole, 1.0 - part * (1.0 - rest))
            reds[x] = _choose(sixth, top, falling, lowest, lowest, rising, top)
            greens[x] = _choose(sixth, rising, top, top, falling, lowest, lowest)
            blues[x] = _choose(sixth, lowest, lowest, rising, top, top, falling)


@compiled(types.void(_PLANES, *[types.uint32] * 3, types.intp))
def blur(image, near, middle, far, passes):  # type: ignore[no-untyped-def]
    """Blur rows, then columns, each by ``passes`` sums over five pixels.

    The weights in 24 fractional bits are ``near`` for a pixel itself, ``middle`` for its neighbors and ``far`` for
    theirs. Pixels outside the image are those of its edge.
    """
    height, width = image.shape[1:]
    padded = np.empty(width + 4, np.uint8)
    kept = np.empty((3, width), np.uint8)  # two rows up, one row up and the row itself, as they were
    for plane in image:
        for y in range(height):
            row = plane[y]
            for _ in range(passes):
                for x in range(2):
                    padded[x], padded[width + 2 + x] = row[0], row[width - 1]
                for x in range(width):
                    padded[x + 2] = row[x]
                for x in range(width):
                    a, b, c, d, e = padded[x], padded[x + 1], padded[x + 2], padded[x + 3], padded[x + 4]
                    row[x] = _mean_of_five(a, b, c, d, e, near, middle, far)
        for _ in range(passes):
            for x in range(width):
                kept[1, x] = kept[2, x] = plane[0, x]
            for y in range(height):
                before, above, here = kept[(y + 1) % 3], kept[(y + 2) % 3], kept[y % 3]
                below, after, row = plane[min(y + 1, height - 1)], plane[min(y + 2, height - 1)], plane[y]
                for x in range(width):
                    here[x] = row[x]
                for x in range(width):
                    row[x] = _mean_of_five(before[x], above[x], here[x], below[x], after[x], near, middle, far)
