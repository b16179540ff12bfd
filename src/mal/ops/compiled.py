"""Compiling functions with numba, once for all processes where a cache can be written."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit

LOG = logging.getLogger(__name__)
FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


def compiled(signature: Any) -> Callable[[FunctionT], FunctionT]:
    """Compile a function for one signature as soon as it is defined, or load it from numba's cache.

    The cache lies in the function's folder, else in the user's; without any, every process compiles for itself.
    """

    def compile_now(function: FunctionT) -> FunctionT:
        try:
            return njit(signature, nogil=True, cache=True)(function)
        except Exception as error:  # noqa: BLE001 - no place to write to, a full disk, a damaged file: do without
            LOG.debug("numba's cache is of no use here: %s", error)
            return njit(signature, nogil=True)(function)

    return compile_now
