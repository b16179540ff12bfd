"""Modules that are compiled, where what compiles them is there."""

from __future__ import annotations

import logging
from functools import cache
from importlib import import_module
from types import ModuleType

LOG = logging.getLogger(__name__)


@cache
def fast_module(name: str) -> ModuleType | None:
    """A module of this package that takes a compiler; None where that is missing or broken.

    The first import ever compiles, which takes some seconds; later ones find the result in numba's cache. Import before
    processes are forked: they share it then.
    """
    try:
        return import_module(f"mal.ops.{name}")
    except Exception as error:  # noqa: BLE001 - a compiler fails in many ways, and there is a way without it
        LOG.debug("%s is of no use here: %s", name, error)
        return None
