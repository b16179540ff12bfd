"""The password of encrypted checkpoints, and where it comes from."""

from __future__ import annotations

import os

from mal.config.schema import ExperimentSpec

KEY_VARIABLE = "MAL_ENCRYPTION_KEY"


def encryption_key_of(spec: ExperimentSpec | None = None) -> str | None:
    """The spec's ``encryption_key``, else the environment's ``MAL_ENCRYPTION_KEY``; None where neither is given."""
    return (spec.encryption_key if spec else None) or os.environ.get(KEY_VARIABLE) or None
