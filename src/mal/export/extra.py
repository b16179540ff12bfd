"""The optional packages that ONNX files need."""

from __future__ import annotations

import importlib
from typing import Any

from mal.errors import UserError


def import_onnx_package(name: str) -> Any:
    """One of the packages of the extra ``onnx``.

    Raises:
        UserError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(f"ONNX files need {name}: pip install 'mask-auto-labeler[onnx]'") from error
