"""Minimum cut of an eight-connected pixel grid by two search trees, compiled by numba.

The algorithm is Boykov's and Kolmogorov's (PAMI 2004): a tree grows from the source and one from the sink, a path found
where they meet is filled up, and pixels that lost their way to a root look for another one, which keeps most of both trees.
The grid has a border of one pixel that no edge leads to, so that no neighbor needs a bounds check.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from mal.ops.compiled import compiled

_FREE, _SOURCE, _SINK = 0, 1, 2  # the tree that a pixel is in
_ROOT, _ORPHAN, _NONE = 8, 9, 10  # parents beside the directions 0..7
_FAR = 2**30

_CAPACITIES, _TERMINALS = types.int32[::1], types.int32[::1]


@njit(nogil=True)
def _fill_path(residual, terminal, step, parent, orphans, upper, direction):
    """Send as much as fits along the path over an edge between the trees; returns the number of new orphans."""
    lower = upper + step[direction]
    flow = residual[upper * 8 + direction]
    pixel = upper
    while parent[pixel] != _ROOT:
        d = parent[pixel]
        above = pixel + step[d]
        flow = min(flow, residual[above * 8 + 7 - d])
        pixel = above
    flow = min(flow, terminal[pixel])
    pixel = lower
    while parent[pixel] != _ROOT:
        d = parent[pixel]
        flow = min(flow, residual[pixel * 8 + d])
        pixel += step[d]
    flow = min(flow, -terminal[pixel])

    count = 0
    residual[upper * 8 + direction] -= flow
    residual[lower * 8 + 7 - direction] += flow
    pixel = upper
    while parent[pixel] != _ROOT:
        d = parent[pixel]
        above = pixel + step[d]
        residual[above * 8 + 7 - d] -= flow
        residual[pixel * 8 + d] += flow
        if residual[above * 8 + 7 - d] == 0:
            parent[pixel] = _ORPHAN
            orphans[count] = pixel
            count += 1
        pixel = above
    terminal[pixel] -= flow
    if terminal[pixel] == 0:
        parent[pixel] = _ORPHAN
        orphans[count] = pixel
        count += 1
    pixel = lower
    while parent[pixel] != _ROOT:
        d = parent[pixel]
        above = pixel + step[d]
        residual[pixel * 8 + d] -= flow
        residual[above * 8 + 7 - d] += flow
        if residual[pixel * 8 + d] == 0:
            parent[pixel] = _ORPHAN
            orphans[count] = pixel
            count += 1
        pixel = above
    terminal[pixel] += flow
    if terminal[pixel] == 0:
        parent[pixel] = _ORPHAN
        orphans[count] = pixel
        count += 1
    return count


@njit(nogil=True)
def _distance_to_root(step, parent, stamp, depth, pixel, time):
    """Steps from a pixel to the root of its tree, or `_FAR` where its way ends at an orphan; marks the way as checked."""
    distance = 0
    walker = pixel
    while True:
        if stamp[walker] == time:
            distance += depth[walker]
            break
        distance += 1
        up = parent[walker]
        if up == _ROOT:
            stamp[walker] = time
            depth[walker] = 1
            break
        if up == _ORPHAN or up == _NONE:
            return _FAR
        walker += step[up]
    found = distance
    walker = pixel
    while stamp[walker] != time:
        stamp[walker] = time
        depth[walker] = distance
        distance -= 1
        walker += step[parent[walker]]
    return found


@compiled(types.uint8[::1](_CAPACITIES, _TERMINALS, types.int64))
def min_cut_sides(residual, terminal, width):
    """The pixels that a minimum cut leaves on the source's side.

    Args:
        residual: (N * 8,) int32, capacity from pixel ``i`` to its neighbor in direction ``d`` at ``i * 8 + d``; the directions
            run row by row, so that ``7 - d`` is opposite to ``d``. Overwritten.
        terminal: (N,) int32, capacity from the source where positive, to the sink where negative. Overwritten.
        width: pixels of a row, border included.

    Returns:
        (N,) uint8, 1 for the pixels that the source still reaches: the smallest of all minimum cuts.
    """
    count = terminal.size
    step = np.array([-width - 1, -width, -width + 1, -1, 1, width - 1, width, width + 1], np.int64)
    tree = np.zeros(count, np.uint8)
    parent = np.full(count, _NONE, np.uint8)
    stamp = np.zeros(count, np.int32)
    depth = np.zeros(count, np.int32)
    queue = np.empty(count + 1, np.int32)  # a ring: a pixel waits in it at most once
    waiting = np.zeros(count, np.uint8)
    orphans = np.empty(count, np.int32)
    head = tail = 0
    for pixel in range(count):
        if terminal[pixel] != 0:
            tree[pixel] = _SOURCE if terminal[pixel] > 0 else _SINK
            parent[pixel] = _ROOT
            depth[pixel] = 1
            queue[tail] = pixel
            waiting[pixel] = 1
            tail += 1
    time = 0
    current = -1
    while True:
        if current < 0 or tree[current] == _FREE:
            current = -1
            while head != tail:
                pixel = queue[head]
                head = 0 if head == count else head + 1
                waiting[pixel] = 0
                if tree[pixel] != _FREE:
                    current = pixel
                    break
            if current < 0:
                break
        upper, direction = -1, 0  # the edge at which the trees meet, seen from the source's side
        own = tree[current]
        for d in range(8):
            neighbor = current + step[d]
            capacity = residual[current * 8 + d] if own == _SOURCE else residual[neighbor * 8 + 7 - d]
            if capacity <= 0:
                continue
            if tree[neighbor] == _FREE:
                tree[neighbor] = own
                parent[neighbor] = 7 - d
                stamp[neighbor] = stamp[current]
                depth[neighbor] = depth[current] + 1
                if not waiting[neighbor]:
                    waiting[neighbor] = 1
                    queue[tail] = neighbor
                    tail = 0 if tail == count else tail + 1
            elif tree[neighbor] != own:
                if own == _SOURCE:
                    upper, direction = current, d
                else:
                    upper, direction = neighbor, 7 - d
                break
            elif stamp[neighbor] <= stamp[current] and depth[neighbor] > depth[current]:
                parent[neighbor] = 7 - d
                stamp[neighbor] = stamp[current]
                depth[neighbor] = depth[current] + 1
        time += 1
        if upper < 0:
            current = -1
            continue
        num_orphans = _fill_path(residual, terminal, step, parent, orphans, upper, direction)
        first = 0
        while first < num_orphans:
            orphan = orphans[first % count]
            first += 1
            own = tree[orphan]
            best, nearest = -1, _FAR
            for d in range(8):
                neighbor = orphan + step[d]
                if tree[neighbor] != own:
                    continue
                capacity = residual[neighbor * 8 + 7 - d] if own == _SOURCE else residual[orphan * 8 + d]
                if capacity <= 0:
                    continue
                distance = _distance_to_root(step, parent, stamp, depth, neighbor, time)
                if distance < nearest:
                    best, nearest = d, distance
            if best >= 0:
                parent[orphan] = best
                stamp[orphan] = time
                depth[orphan] = nearest + 1
                continue
            parent[orphan] = _NONE
            stamp[orphan] = 0
            tree[orphan] = _FREE
            for d in range(8):
                neighbor = orphan + step[d]
                if tree[neighbor] != own:
                    continue
                capacity = residual[neighbor * 8 + 7 - d] if own == _SOURCE else residual[orphan * 8 + d]
                if capacity > 0 and not waiting[neighbor]:
                    waiting[neighbor] = 1
                    queue[tail] = neighbor
                    tail = 0 if tail == count else tail + 1
                if parent[neighbor] == 7 - d:
                    parent[neighbor] = _ORPHAN
                    orphans[num_orphans % count] = neighbor
                    num_orphans += 1
    return (tree == _SOURCE).astype(np.uint8)
