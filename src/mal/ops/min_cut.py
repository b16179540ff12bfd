"""The minimum cut of a grid of pixels: which of them stay with the source.

This is the front door. ``min_cut_numba`` computes it where numba is there; ``min_cut_plain`` needs SciPy alone, takes
some six times as long, and is the reference. Both give the same pixels, because capacities are integers and, of all
minimum cuts, only one has the smallest side of the source.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mal.ops.compiled import fast_module

STEPS = ((0, 1), (1, -1), (1, 0), (1, 1))
"""Rows and columns from a pixel to the four neighbors that edges are given for; the other four are theirs."""

Pixels = npt.NDArray[np.int32]


def min_cut(terminal: Pixels, edges: Pixels) -> npt.NDArray[np.bool_]:
    """The pixels that a minimum cut leaves on the source's side: the smallest such set.

    Args:
        terminal: (H, W) int32, capacity from the source where positive, to the sink where negative.
        edges: (4, H, W) int32, at least 0, capacity in both directions between a pixel and its neighbor in each of
            ``STEPS``; what leads out of the grid does not count. Capacities at a pixel must add up to less than 2**31.

    Returns:
        (H, W) bool.
    """
    terminal, edges = np.ascontiguousarray(terminal, np.int32), np.ascontiguousarray(edges, np.int32)
    fast = fast_module("min_cut_numba")
    return fast.source_side(terminal, edges) if fast is not None else min_cut_plain(terminal, edges)


def min_cut_plain(terminal: Pixels, edges: Pixels) -> npt.NDArray[np.bool_]:
    """As :func:`min_cut`, by SciPy's maximum flow."""
    from scipy.sparse.csgraph import breadth_first_order, maximum_flow  # SciPy takes a while to load

    capacities = capacity_matrix(terminal, edges)
    source, sink = terminal.size, terminal.size + 1
    left = capacities - maximum_flow(capacities, source, sink).flow
    left.eliminate_zeros()
    reached = np.zeros(terminal.size + 2, np.bool_)
    reached[breadth_first_order(left, source, return_predecessors=False)] = True
    return reached[: terminal.size].reshape(terminal.shape)


def capacity_matrix(terminal: Pixels, edges: Pixels):  # type: ignore[no-untyped-def]
    """The grid as a SciPy graph, (N + 2, N + 2) int32 CSR: N pixels row by row, then the source, then the sink."""
    from scipy.sparse import csr_matrix

    pixels = np.arange(terminal.size).reshape(terminal.shape)
    source, sink = terminal.size, terminal.size + 1
    starts, ends, capacities = [], [], []
    for links, (near, far) in zip(edges, map(between, STEPS), strict=True):
        starts += [pixels[near].ravel(), pixels[far].ravel()]
        ends += [pixels[far].ravel(), pixels[near].ravel()]
        capacities += 2 * [links[near].ravel()]
    gives, takes = terminal > 0, terminal < 0
    starts += [np.full(gives.sum(), source), pixels[takes]]
    ends += [pixels[gives], np.full(takes.sum(), sink)]
    capacities += [terminal[gives], -terminal[takes]]
    values = np.concatenate(capacities).astype(np.int32)
    graph = csr_matrix((values, (np.concatenate(starts), np.concatenate(ends))), shape=2 * (terminal.size + 2,))
    graph.eliminate_zeros()
    return graph


def between(step: tuple[int, int]) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """The pixels of a grid that have a neighbor in one of ``STEPS``, and those neighbors, in the same order."""
    down, right = step
    rows = slice(None, -down or None), slice(down, None)
    columns = slice(max(-right, 0), -right if right > 0 else None), slice(max(right, 0), -1 if right < 0 else None)
    return (rows[0], columns[0]), (rows[1], columns[1])
