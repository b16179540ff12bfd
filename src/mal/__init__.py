"""Mask Auto Labeler: box annotations in, instance masks out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["AutoResult", "MaskAutoLabeler", "__version__", "auto_label"]

if TYPE_CHECKING:
    from mal.auto.library import auto_label
    from mal.auto.request import AutoResult
    from mal.labeler import MaskAutoLabeler


def __getattr__(name: str) -> Any:
    # PyTorch takes seconds to import; `mal --help` and `import mal` must not wait for it.
    if name == "MaskAutoLabeler":
        from mal.labeler import MaskAutoLabeler

        return MaskAutoLabeler
    if name == "auto_label":
        from mal.auto.library import auto_label

        return auto_label
    if name == "AutoResult":
        from mal.auto.request import AutoResult

        return AutoResult
    raise AttributeError(f"module 'mal' has no attribute {name!r}")
