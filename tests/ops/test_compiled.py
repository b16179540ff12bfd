"""Modules that need a compiler, where there is none."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location

from mal.ops import compiled


def test_without_numba_a_compiled_module_is_missing_and_nothing_else(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.delitem(sys.modules, "mal.ops.min_cut_numba", raising=False)
    spec = spec_from_file_location("compiled_without_numba", compiled.__file__)
    loaded_anew = module_from_spec(spec)
    spec.loader.exec_module(loaded_anew)
    assert loaded_anew.fast_module("min_cut_numba") is None
