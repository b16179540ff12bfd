"""Minimum cut of an eight-connected pixel grid by two search trees, compiled by numba.

The algorithm is Boykov's and Kolmogorov's (PAMI 2004): a tree grows from the source and one from the sink, a path
found where they meet is filled up, and pixels that lost their way to a root look for another one, which keeps most of
both trees.

The functions share a few arrays: ``nodes`` (N,) of ``_NODE``, the pixels row by row, with a border of one pixel that
no edge leads to, so that no neighbor needs a bounds check; ``residual`` (N * 8,) int32, what more may flow from a
pixel to each neighbor; ``step`` (8,) int64, from a pixel to its neighbors row by row, so that direction ``7 - d`` is
opposite to ``d``; and ``queue`` (N + 3,) int32, a ring of pixels whose neighbors are to be looked at, with its head
and tail at the end. They are passed one by one, because numba counts references to arrays that it takes out of a
tuple, which doubles the time.
"""

from __future__ import annotations

import numpy as np
from numba import from_dtype, njit, types

from mal.ops.compiled import compiled

_FREE, _SOURCE, _SINK = 0, 1, 2  # the tree that a pixel is in
_ROOT, _ORPHAN, _NONE = 8, 9, 10  # parents beside the directions 0..7
_FAR = 2**30

_NODE = np.dtype(
    [
        ("terminal", np.int32),  # from the source where positive, to the sink where negative
        ("depth", np.int32),  # steps to the root, right as of the time in stamp
        ("stamp", np.int32),
        ("tree", np.uint8),
        ("parent", np.uint8),  # direction to it
        ("waiting", np.bool_),  # in the queue, where each is once at most
    ],
    align=True,
)


@njit(nogil=True, forceinline=True)
def _set_capacities(terminal, edges, nodes, residual, step):  # type: ignore[no-untyped-def]
    height, width = terminal.shape
    for y in range(height):
        for x in range(width):
            pixel = (y + 1) * (width + 2) + x + 1
            nodes[pixel].terminal = terminal[y, x]
            for direction in range(4, 8):
                v, u = y + (direction > 4), x + (0 if direction == 6 else -1 if direction == 5 else 1)
                if v < height and 0 <= u < width:
                    capacity = edges[direction - 4, y, x]
                    residual[pixel * 8 + direction] = capacity
                    residual[(pixel + step[direction]) * 8 + 7 - direction] = capacity


@njit(nogil=True, forceinline=True)
def _wait(nodes, queue, pixel):  # type: ignore[no-untyped-def]
    if not nodes[pixel].waiting:
        nodes[pixel].waiting = True
        tail = queue[-1]
        queue[tail] = pixel
        queue[-1] = 0 if tail + 3 == queue.size else tail + 1


@njit(nogil=True, forceinline=True)
def _next_active(nodes, queue):  # type: ignore[no-untyped-def]
    """The next pixel of the queue that still is in a tree, -1 if there is none."""
    while queue[-2] != queue[-1]:
        head = queue[-2]
        pixel = queue[head]
        queue[-2] = 0 if head + 3 == queue.size else head + 1
        nodes[pixel].waiting = False
        if nodes[pixel].tree != _FREE:
            return np.int64(pixel)
    return np.int64(-1)


@njit(nogil=True, forceinline=True)
def _plant_roots(nodes, queue):  # type: ignore[no-untyped-def]
    for pixel in range(nodes.size):
        nodes[pixel].parent = _NONE
        if nodes[pixel].terminal != 0:
            nodes[pixel].tree = _SOURCE if nodes[pixel].terminal > 0 else _SINK
            nodes[pixel].parent = _ROOT
            nodes[pixel].depth = 1
            _wait(nodes, queue, pixel)


@njit(nogil=True, forceinline=True)
def _grow(nodes, residual, step, queue, pixel):  # type: ignore[no-untyped-def]
    """Let a pixel's tree take its free neighbors.

    Returns:
        Where the trees meet: the pixel of the source's tree, and the direction to that of the sink's; -1 if they do
        not.
    """
    own, stamp, depth = nodes[pixel].tree, nodes[pixel].stamp, nodes[pixel].depth
    for direction in range(8):
        neighbor = pixel + step[direction]
        capacity = residual[pixel * 8 + direction] if own == _SOURCE else residual[neighbor * 8 + 7 - direction]
        if capacity <= 0:
            continue
        if nodes[neighbor].tree == _FREE:
            nodes[neighbor].tree = own
            _wait(nodes, queue, neighbor)
        elif nodes[neighbor].tree != own:
            return (pixel, direction) if own == _SOURCE else (neighbor, 7 - direction)
        elif nodes[neighbor].stamp > stamp or nodes[neighbor].depth <= depth:
            continue  # its own way to the root is as short
        nodes[neighbor].parent = 7 - direction
        nodes[neighbor].stamp = stamp
        nodes[neighbor].depth = depth + 1
    return np.int64(-1), 0


@njit(nogil=True, forceinline=True)
def _to_parent(nodes, step, pixel, own):  # type: ignore[no-untyped-def]
    """A pixel's parent, and where the capacities of the edge to it stand: along the path to the sink, and back."""
    direction = nodes[pixel].parent
    parent = pixel + step[direction]
    up, down = pixel * 8 + direction, parent * 8 + 7 - direction
    return (parent, down, up) if own == _SOURCE else (parent, up, down)


@njit(nogil=True, forceinline=True)
def _least_capacity(nodes, residual, step, pixel, own):  # type: ignore[no-untyped-def]
    """What fits along the way between a pixel and the terminal of its tree."""
    least = _FAR
    while nodes[pixel].parent != _ROOT:
        pixel, forward, _ = _to_parent(nodes, step, pixel, own)
        least = min(least, residual[forward])
    return min(least, abs(nodes[pixel].terminal))


@njit(nogil=True, forceinline=True)
def _push(nodes, residual, step, orphans, count, pixel, own, flow):  # type: ignore[no-untyped-def]
    """Send flow along that way. Pixels whose edge is full become orphans; returns how many there are now."""
    while nodes[pixel].parent != _ROOT:
        parent, forward, back = _to_parent(nodes, step, pixel, own)
        residual[forward] -= flow
        residual[back] += flow
        if residual[forward] == 0:
            nodes[pixel].parent = _ORPHAN
            orphans[count] = pixel
            count += 1
        pixel = parent
    nodes[pixel].terminal += -flow if own == _SOURCE else flow
    if nodes[pixel].terminal == 0:
        nodes[pixel].parent = _ORPHAN
        orphans[count] = pixel
        count += 1
    return count


@njit(nogil=True, forceinline=True)
def _fill_path(nodes, residual, step, orphans, upper, direction):  # type: ignore[no-untyped-def]
    """Send as much as fits over an edge between the trees; returns the number of new orphans."""
    lower = upper + step[direction]
    flow = min(
        residual[upper * 8 + direction],
        _least_capacity(nodes, residual, step, upper, _SOURCE),
        _least_capacity(nodes, residual, step, lower, _SINK),
    )
    residual[upper * 8 + direction] -= flow
    residual[lower * 8 + 7 - direction] += flow
    count = _push(nodes, residual, step, orphans, 0, upper, _SOURCE, flow)
    return _push(nodes, residual, step, orphans, count, lower, _SINK, flow)


@njit(nogil=True, forceinline=True)
def _distance_to_root(nodes, step, pixel, time):  # type: ignore[no-untyped-def]
    """Steps from a pixel to the root of its tree, `_FAR` if its way ends at an orphan; marks the way as checked."""
    distance = 0
    walker = pixel
    while True:
        if nodes[walker].stamp == time:
            distance += nodes[walker].depth
            break
        distance += 1
        up = nodes[walker].parent
        if up == _ROOT:
            nodes[walker].stamp = time
            nodes[walker].depth = 1
            break
        if up in (_ORPHAN, _NONE):
            return _FAR
        walker += step[up]
    found = distance
    walker = pixel
    while nodes[walker].stamp != time:
        nodes[walker].stamp = time
        nodes[walker].depth = distance
        distance -= 1
        walker += step[nodes[walker].parent]
    return found


@njit(nogil=True, forceinline=True)
def _find_parent(nodes, residual, step, orphan, time):  # type: ignore[no-untyped-def]
    """Give an orphan the neighbor nearest to a root as parent; returns whether there is one."""
    own = nodes[orphan].tree
    best, nearest = -1, _FAR
    for direction in range(8):
        neighbor = orphan + step[direction]
        if nodes[neighbor].tree != own:
            continue
        capacity = residual[neighbor * 8 + 7 - direction] if own == _SOURCE else residual[orphan * 8 + direction]
        if capacity > 0:
            distance = _distance_to_root(nodes, step, neighbor, time)
            if distance < nearest:
                best, nearest = direction, distance
    if best < 0:
        return False
    nodes[orphan].parent = best
    nodes[orphan].stamp = time
    nodes[orphan].depth = nearest + 1
    return True


@njit(nogil=True, forceinline=True)
def _set_free(nodes, residual, step, queue, orphans, count, orphan):  # type: ignore[no-untyped-def]
    """Take an orphan out of its tree. Its children become orphans too; returns how many there have been by now."""
    own = nodes[orphan].tree
    nodes[orphan].tree, nodes[orphan].parent, nodes[orphan].stamp = _FREE, _NONE, 0
    for direction in range(8):
        neighbor = orphan + step[direction]
        if nodes[neighbor].tree != own:
            continue
        capacity = residual[neighbor * 8 + 7 - direction] if own == _SOURCE else residual[orphan * 8 + direction]
        if capacity > 0:
            _wait(nodes, queue, neighbor)  # it may take this pixel again
        if nodes[neighbor].parent == 7 - direction:
            nodes[neighbor].parent = _ORPHAN
            orphans[count % orphans.size] = neighbor
            count += 1
    return count


@njit(nogil=True, forceinline=True)
def _adopt(nodes, residual, step, queue, orphans, count, time):  # type: ignore[no-untyped-def]
    """Find a parent for each of so many orphans and for all that become orphans on the way, or set it free."""
    first = 0
    while first < count:
        orphan = np.int64(orphans[first % orphans.size])
        first += 1
        if not _find_parent(nodes, residual, step, orphan, time):
            count = _set_free(nodes, residual, step, queue, orphans, count, orphan)


@njit(nogil=True, forceinline=True)
def _run(nodes, residual, step, queue, orphans):  # type: ignore[no-untyped-def]
    """Fill paths until the trees do not meet any more."""
    time = 0
    pixel = _next_active(nodes, queue)
    while pixel >= 0:
        upper, direction = _grow(nodes, residual, step, queue, pixel)
        time += 1
        if upper >= 0:
            count = _fill_path(nodes, residual, step, orphans, upper, direction)
            _adopt(nodes, residual, step, queue, orphans, count, time)
        if upper < 0 or nodes[pixel].tree == _FREE:
            pixel = _next_active(nodes, queue)


_NODES = types.Array(from_dtype(_NODE), 1, "C")


@compiled(types.boolean[:, ::1](types.int32[:, ::1], types.int32[:, :, ::1], _NODES))
def _source_side(terminal, edges, nodes):  # type: ignore[no-untyped-def]
    height, width = terminal.shape
    across = width + 2
    step = np.array([-across - 1, -across, -across + 1, -1, 1, across - 1, across, across + 1], np.int64)
    residual = np.zeros(nodes.size * 8, np.int32)
    queue, orphans = np.zeros(nodes.size + 3, np.int32), np.empty(nodes.size, np.int32)
    _set_capacities(terminal, edges, nodes, residual, step)
    _plant_roots(nodes, queue)
    _run(nodes, residual, step, queue, orphans)
    reached = np.empty((height, width), np.bool_)
    for y in range(height):
        for x in range(width):
            reached[y, x] = nodes[(y + 1) * across + x + 1].tree == _SOURCE
    return reached


def source_side(terminal: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """As :func:`mal.ops.min_cut.min_cut`, of arrays without gaps."""
    height, width = terminal.shape
    side: np.ndarray = _source_side(terminal, edges, np.zeros((height + 2) * (width + 2), _NODE))
    return side
