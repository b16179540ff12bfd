"""Optional packages: what needs one that is missing says in one line what to type."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from mal.errors import UserError

TRAINING_PACKAGES = ("torch", "torchvision", "timm", "lightning", "torchmetrics", "safetensors", "tensorboard", "numba")
"""What the extra ``train`` brings, as Python names."""


def is_installed(name: str) -> bool:
    """Whether a package is there, without importing it."""
    try:
        return find_spec(name) is not None
    except ImportError:  # of a finder that keeps it away
        return False


def in_extra(what: str, package: str) -> str:
    """Say that something needs a package of the extra ``train``, and what to type."""
    return f'{what} needs {package}, which is not installed: pip install "mask-auto-labeler[train]"'


def require_training_packages(what: str) -> None:
    """Refuse what PyTorch computes where the extra ``train`` is not installed.

    Args:
        what: starts the sentence.

    Raises:
        UserError: a package of the extra is missing or broken.
    """
    for name, load in (("torch", lambda: import_module("torch")), ("timm", _import_timm)):
        try:
            load()
        except ImportError as error:
            raise UserError(in_extra(what, name)) from error


def _import_timm() -> None:
    from mal.runtime.lightning_internals import import_timm  # which imports PyTorch

    import_timm()


def explain_missing_package(error: ImportError, what: str) -> str | None:
    """One line for an import that failed for want of the extra ``train``; None for any other.

    Args:
        error: of an import statement.
        what: starts the sentence.
    """
    package = (error.name or "").partition(".")[0]
    return in_extra(what, package) if package in TRAINING_PACKAGES else None
