"""Modules that need a compiler, where there is none."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location

import numba
import pytest
from numba import types

from mal.ops import compiled


def test_without_numba_a_compiled_module_is_missing_and_nothing_else(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.delitem(sys.modules, "mal.ops.min_cut_numba", raising=False)
    spec = spec_from_file_location("compiled_without_numba", compiled.__file__)
    loaded_anew = module_from_spec(spec)
    spec.loader.exec_module(loaded_anew)
    assert loaded_anew.fast_module("min_cut_numba") is None


@pytest.mark.parametrize("error", [RuntimeError("cannot cache function"), PermissionError(13, "read-only")])
def test_where_nothing_can_be_cached_a_function_is_compiled_all_the_same(monkeypatch, error):
    original = numba.njit

    def without_cache(*arguments, cache=False, **options):
        if cache:
            raise error
        return original(*arguments, **options)

    monkeypatch.setattr(numba, "njit", without_cache)
    assert compiled.compiled(types.intp(types.intp))(lambda number: number + 1)(1) == 2
