"""Functions compiled by numba and cached, and modules that fall back where that fails."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any, TypeVar

LOG = logging.getLogger(__name__)
FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


def compiled(signature: Any) -> Callable[[FunctionT], FunctionT]:
    """Compile a function for one signature as soon as it is defined, or load it from numba's cache.

    The cache lies in the function's folder, else in the user's; without any, every process compiles for itself.
    """
    from numba import njit  # here, so that fast_module is there without numba

    def compile_now(function: FunctionT) -> FunctionT:
        try:
            return njit(signature, nogil=True, cache=True)(function)
        except Exception as error:  # noqa: BLE001 - no place to write to, a full disk, a damaged file: do without
            LOG.debug("numba's cache is of no use here: %s", error)
            return njit(signature, nogil=True)(function)

    return compile_now


@cache
def fast_module(name: str) -> ModuleType | None:
    """Import a module of this package that needs a compiler; None if that is missing or broken.

    The first import compiles, which takes some seconds; later ones use numba's cache. Import it before forking, so that
    workers share it.
    """
    try:
        return import_module(f"mal.ops.{name}")
    except Exception as error:  # noqa: BLE001 - a compiler fails in many ways, and there is a way without it
        LOG.debug("%s is of no use here: %s", name, error)
        return None
