"""The minimum cut of a pixel grid, held to SciPy's maximum flow."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mal.ops.compiled import fast_module
from mal.ops.min_cut import STEPS, between, capacity_matrix, min_cut, min_cut_plain

VERSIONS = {"plain": min_cut_plain}
if fast_module("min_cut_numba") is not None:
    VERSIONS["compiled"] = fast_module("min_cut_numba").source_side
every_version = pytest.mark.parametrize("version", VERSIONS.values(), ids=VERSIONS)


@st.composite
def grids(draw):
    """Capacities of grids of any size, many of them 0, with edges out of the grid that must not count."""
    height, width = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    strongest = draw(st.sampled_from([1, 5, 1000]))
    terminal = rng.integers(-20, 21, (height, width), np.int32)
    terminal[rng.random((height, width)) < draw(st.sampled_from([0.0, 0.3, 0.95]))] = 0
    return terminal, rng.integers(0, strongest + 1, (4, height, width), np.int32)


def cost_of_cut(terminal, edges, side):
    """Capacity of all that leads from one side to the other."""
    cost = terminal[(terminal > 0) & ~side].sum() - terminal[(terminal < 0) & side].sum()
    for links, (near, far) in zip(edges, map(between, STEPS), strict=True):
        cost += links[near][side[near] != side[far]].sum()
    return cost


@every_version
@settings(max_examples=150)
@given(grid=grids())
def test_the_cut_costs_what_the_maximum_flow_carries(version, grid):
    from scipy.sparse.csgraph import maximum_flow

    terminal, edges = grid
    flow = maximum_flow(capacity_matrix(terminal, edges), terminal.size, terminal.size + 1).flow_value
    assert cost_of_cut(terminal, edges, version(terminal, edges)) == flow


@settings(max_examples=150)
@given(grid=grids())
def test_with_and_without_a_compiler_the_same_pixels_are_found(grid):
    np.testing.assert_array_equal(min_cut(*grid), min_cut_plain(*grid))


@every_version
def test_what_costs_the_same_on_both_sides_is_left_to_the_sink(version):
    terminal = np.array([[5, 0, -5]], np.int32)
    edges = np.full((4, 1, 3), 3, np.int32)
    assert version(terminal, edges).tolist() == [[True, False, False]]


@every_version
def test_without_terminals_nothing_is_the_sources(version):
    assert not version(np.zeros((3, 4), np.int32), np.ones((4, 3, 4), np.int32)).any()


@every_version
def test_edges_that_hold_more_than_the_terminals_carry_the_majority(version):
    terminal = np.full((20, 20), -1, np.int32)
    terminal[5, 5] = 500
    edges = np.full((4, 20, 20), 1000, np.int32)
    assert version(terminal, edges).all()
    terminal[5, 5] = 300
    assert not version(terminal, edges).any()


def test_arrays_with_gaps_and_of_other_integers_are_taken():
    rng = np.random.default_rng(0)
    terminal, edges = rng.integers(-9, 10, (6, 14)), rng.integers(0, 9, (4, 6, 14))
    expected = min_cut_plain(terminal[:, ::2].astype(np.int32), edges[..., ::2].astype(np.int32))
    np.testing.assert_array_equal(min_cut(terminal[:, ::2], edges[..., ::2]), expected)
