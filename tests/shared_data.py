"""Where reference data lies that the repository may not hold: the golden pack's photos, and real data sets."""

from __future__ import annotations

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]


def shared_folder() -> Path:
    """``MAL_SHARED``, or ``shared`` beside the checkout; it need not be there."""
    return Path(os.environ.get("MAL_SHARED") or REPOSITORY.parent / "shared")


def has_shared_data() -> bool:
    """Whether the reference data is there."""
    return (shared_folder() / "conformance").is_dir()
