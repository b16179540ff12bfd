"""What a finished run leaves in its report, so that the same command knows that nothing is left to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mal.labelling.run_identity import Identity, changes, sha256

RUN_KEY = "run"
_LABEL_FILE_KEY = "sha256 of the label file"


def finished_run(identity: Identity, output: Path) -> dict[str, Any]:
    """What to keep in the report of a run that has no failures; as JSON values.

    Args:
        identity: all that decides the label file.
        output: the label file, complete.
    """
    return {"identity": dict(identity), _LABEL_FILE_KEY: sha256(output)}


def is_finished(report: Path, identity: Identity, output: Path) -> bool:
    """Whether a report says that a run has written this label file, and that it is the run of this identity."""
    try:
        run = json.loads(report.read_bytes())[RUN_KEY]
        is_this_one = output.is_file() and not changes(run["identity"], identity)
        return is_this_one and bool(run[_LABEL_FILE_KEY] == sha256(output))
    except (OSError, ValueError, KeyError, TypeError):  # no report, another one, or that of an earlier version
        return False
