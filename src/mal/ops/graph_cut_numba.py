"""Graph-cut refinement of one crop, compiled by numba: color mixtures of object and surroundings, then a minimum cut.

Colors are put into bins of 8 levels a channel. A mixture is fitted to the mean colors of the bins and evaluated once a bin,
not once a pixel: a crop of 128 x 128 pixels has some 500 to 2,000 bins in use.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, types

from mal.ops.compiled import compiled
from mal.ops.min_cut_numba import min_cut_sides

NUM_COMPONENTS = 5
_LLOYD_STEPS, _EM_STEPS = 5, 3
_MIN_VARIANCE = 4.0  # gray levels squared: a flat color is no singular Gaussian
_UNIT = 100.0  # capacities are integers of this many to 1
_MAX_COST = 40.0  # a color that one mixture does not know counts no more than e**40 against it
_BINS = 32 * 32 * 32


@njit(nogil=True)
def _binned(image, weight):
    """Number of the bin of each pixel, mean color of each bin in use, and each bin's weight."""
    height, width = weight.shape
    number = np.full(_BINS, -1, np.int32)
    bins = np.empty((height, width), np.int32)
    color = np.zeros((height * width, 3), np.float32)
    size = np.zeros(height * width, np.float32)
    count = 0
    for y in range(height):
        for x in range(width):
            r, g, b = image[y, x, 0], image[y, x, 1], image[y, x, 2]
            key = ((np.int32(r) >> 3) << 10) | ((np.int32(g) >> 3) << 5) | (np.int32(b) >> 3)
            if number[key] < 0:
                number[key] = count
                count += 1
            k = number[key]
            bins[y, x] = k
            color[k, 0] += r
            color[k, 1] += g
            color[k, 2] += b
            size[k] += 1
    color = color[:count].copy()
    for k in range(count):
        for c in range(3):
            color[k, c] /= size[k]
    return bins, color


@njit(nogil=True)
def _nearest(color, centers, num_centers):
    best, nearest = 0, math.inf
    for j in range(num_centers):
        distance = 0.0
        for c in range(3):
            distance += (color[c] - centers[j, c]) ** 2
        if distance < nearest:
            best, nearest = j, distance
    return best, nearest


@njit(nogil=True)
def _clusters(color, weight):
    """The cluster of each bin by weighted k-means; each next center is the bin that adds most to the error."""
    count = len(weight)
    centers = np.zeros((NUM_COMPONENTS, 3))
    centers[0] = 0.0
    total = weight.sum()
    for k in range(count):
        for c in range(3):
            centers[0, c] += weight[k] * color[k, c] / total
    num_centers = 1
    cluster = np.zeros(count, np.int32)
    while num_centers < NUM_COMPONENTS:
        farthest, most = -1, 1.0  # a gray level of one pixel is no cluster
        for k in range(count):
            if weight[k] > 0:
                error = weight[k] * _nearest(color[k], centers, num_centers)[1]
                if error > most:
                    farthest, most = k, error
        if farthest < 0:
            break
        centers[num_centers] = color[farthest]
        num_centers += 1
    for _ in range(_LLOYD_STEPS):
        sums = np.zeros((NUM_COMPONENTS, 4))
        for k in range(count):
            cluster[k] = _nearest(color[k], centers, num_centers)[0]
            for c in range(3):
                sums[cluster[k], c] += weight[k] * color[k, c]
            sums[cluster[k], 3] += weight[k]
        for j in range(num_centers):
            if sums[j, 3] > 0:
                for c in range(3):
                    centers[j, c] = sums[j, c] / sums[j, 3]
    return cluster, num_centers


@njit(nogil=True)
def _inverse(cov):
    """Inverse and determinant of a symmetric 3 x 3 matrix."""
    a, b, c, d, e, f = cov[0, 0], cov[0, 1], cov[0, 2], cov[1, 1], cov[1, 2], cov[2, 2]
    inverse = np.empty((3, 3))
    inverse[0, 0], inverse[1, 1], inverse[2, 2] = d * f - e * e, a * f - c * c, a * d - b * b
    inverse[0, 1] = inverse[1, 0] = c * e - b * f
    inverse[0, 2] = inverse[2, 0] = b * e - c * d
    inverse[1, 2] = inverse[2, 1] = b * c - a * e
    determinant = a * inverse[0, 0] + b * inverse[0, 1] + c * inverse[0, 2]
    return inverse / determinant, determinant


@njit(nogil=True)
def _log_likelihood(color, weight):
    """Log density of each bin's color under a Gaussian mixture fitted to the weighted bins by EM, (num_bins,) float64."""
    count = len(weight)
    cluster, num = _clusters(color, weight)
    share = np.zeros((count, NUM_COMPONENTS))
    for k in range(count):
        share[k, cluster[k]] = 1.0
    density = np.zeros(count)
    log_terms = np.empty(NUM_COMPONENTS)
    total = weight.sum()
    for step in range(_EM_STEPS):
        mean = np.zeros((NUM_COMPONENTS, 3))
        mass = np.zeros(NUM_COMPONENTS)
        cov = np.zeros((NUM_COMPONENTS, 3, 3))
        for k in range(count):
            if weight[k] == 0:
                continue
            for j in range(num):
                w = weight[k] * share[k, j]
                if w > 1e-6:
                    mass[j] += w
                    for c in range(3):
                        mean[j, c] += w * color[k, c]
        for j in range(num):
            if mass[j] > 0:
                mean[j] /= mass[j]
        for k in range(count):
            if weight[k] == 0:
                continue
            for j in range(num):
                w = weight[k] * share[k, j]
                if w > 1e-6:
                    for c in range(3):
                        for d in range(c + 1):
                            cov[j, c, d] += w * (color[k, c] - mean[j, c]) * (color[k, d] - mean[j, d])
        inverse = np.zeros((NUM_COMPONENTS, 3, 3))
        log_factor = np.full(NUM_COMPONENTS, -math.inf)
        for j in range(num):
            if mass[j] <= 0:
                continue
            for c in range(3):
                for d in range(c + 1):
                    cov[j, c, d] = cov[j, d, c] = cov[j, c, d] / mass[j]
                cov[j, c, c] += _MIN_VARIANCE
            inverse[j], determinant = _inverse(cov[j])
            log_factor[j] = math.log(mass[j] / total) - 0.5 * math.log(determinant) - 1.5 * math.log(2 * math.pi)
        for k in range(count):
            highest = -math.inf
            for j in range(num):
                x, y, z = color[k, 0] - mean[j, 0], color[k, 1] - mean[j, 1], color[k, 2] - mean[j, 2]
                m = inverse[j]
                square = m[0, 0] * x * x + m[1, 1] * y * y + m[2, 2] * z * z
                square += 2 * (m[0, 1] * x * y + m[0, 2] * x * z + m[1, 2] * y * z)
                log_terms[j] = log_factor[j] - 0.5 * square
                highest = max(highest, log_terms[j])
            norm = 0.0
            for j in range(num):
                share[k, j] = math.exp(log_terms[j] - highest)
                norm += share[k, j]
            for j in range(num):
                share[k, j] /= norm
            density[k] = highest + math.log(norm)
    return density


@njit(nogil=True)
def _contrast(image):
    """1 / (2 * mean squared color difference of neighbors), as in GrabCut (SIGGRAPH 2004, eq. 5)."""
    height, width = image.shape[:2]
    total, count = 0.0, 0
    for y in range(height):
        for x in range(width):
            for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
                if y + dy < height and 0 <= x + dx < width:
                    for c in range(3):
                        total += (np.float32(image[y, x, c]) - np.float32(image[y + dy, x + dx, c])) ** 2
                    count += 1
    return count / (2 * total) if total > 0 else 0.0


@compiled(
    types.boolean[:, ::1](
        types.uint8[:, :, ::1], types.float32[:, ::1], types.boolean[:, ::1], types.boolean[:, ::1], types.float64, types.float64
    )
)
def cut_crop(image, probability, inside, sure, smoothness, prior):
    """Refine the mask of one crop. Arguments and result as in `mal.ops.graph_cut.graph_cut`, all values finite."""
    height, width = probability.shape
    refined = np.zeros((height, width), np.bool_)
    top, bottom, left, right = height, -1, width, -1
    for y in range(height):
        for x in range(width):
            if inside[y, x]:
                top, bottom, left, right = min(top, y), max(bottom, y), min(left, x), max(right, x)
    if bottom < 0:
        return refined
    bins, color = _binned(image, probability)
    object_weight, ground_weight = np.zeros(len(color)), np.zeros(len(color))
    for y in range(height):
        for x in range(width):
            if inside[y, x] and probability[y, x] > 0.5:
                object_weight[bins[y, x]] += 1
            else:
                ground_weight[bins[y, x]] += 1
    if object_weight.sum() == 0:
        return refined
    object_cost, ground_cost = np.zeros(len(color)), np.zeros(len(color))
    if ground_weight.sum() > 0:
        object_cost -= _log_likelihood(color, object_weight)
        ground_cost -= _log_likelihood(color, ground_weight)

    rows, columns = bottom - top + 3, right - left + 3  # with a border
    terminal = np.zeros(rows * columns, np.int32)
    residual = np.zeros(rows * columns * 8, np.int32)
    beta = _contrast(image)
    for y in range(top, bottom + 1):
        for x in range(left, right + 1):
            pixel = (y - top + 1) * columns + x - left + 1
            if not inside[y, x]:
                continue
            k = bins[y, x]
            p = min(max(probability[y, x], 0.001), 0.999)
            cost = min(max(ground_cost[k] - object_cost[k], -_MAX_COST), _MAX_COST)
            cost += prior * math.log(p / (1 - p))
            if sure[y, x]:
                cost = 9 * smoothness + _MAX_COST  # more than all its edges together
            for d in range(8):
                e = d if d < 4 else d + 1
                dy, dx = e // 3 - 1, e % 3 - 1
                v, u = y + dy, x + dx
                if not (0 <= v < height and 0 <= u < width):
                    continue
                square = 0.0
                for c in range(3):
                    square += (np.float32(image[y, x, c]) - np.float32(image[v, u, c])) ** 2
                capacity = smoothness * math.exp(-beta * square) / math.sqrt(dy * dy + dx * dx)
                if inside[v, u]:
                    residual[pixel * 8 + d] = np.int32(capacity * _UNIT)
                else:
                    cost -= capacity  # a neighbor that is background for certain
            terminal[pixel] = np.int32(cost * _UNIT)
    side = min_cut_sides(residual, terminal, columns)
    for y in range(top, bottom + 1):
        for x in range(left, right + 1):
            refined[y, x] = side[(y - top + 1) * columns + x - left + 1] == 1
    return refined
