"""Mask Auto Labeler: box annotations in, instance masks out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["MaskAutoLabeler", "__version__"]

if TYPE_CHECKING:
    from mal.labeler import MaskAutoLabeler


def __getattr__(name: str) -> Any:
    # PyTorch takes seconds to import; `mal --help` and `import mal` must not wait for it.
    if name == "MaskAutoLabeler":
        from mal.labeler import MaskAutoLabeler

        return MaskAutoLabeler
    raise AttributeError(f"module 'mal' has no attribute {name!r}")
