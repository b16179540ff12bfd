"""`status.json`: the progress of a run, one JSON object a line, for programs that monitor it."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from mal.console import console
from mal.files import without_non_finite

Level = Literal["info", "warning", "error"]


class StatusLog:
    """Appends to ``status.json`` in a results folder.

    A full disk does not stop the run: the line is left out, and the user is warned once.

    Args:
        results_dir: the folder; created if needed.
        enabled: False on all ranks but 0.
    """

    def __init__(self, results_dir: Path, *, enabled: bool = True) -> None:
        self.path = results_dir / "status.json"
        self.enabled = enabled
        self._has_complained = False
        if enabled:
            results_dir.mkdir(parents=True, exist_ok=True)

    def write(self, message: str, metrics: Mapping[str, Any] | None = None, *, level: Level = "info") -> None:
        """Add a line with the time, the level, the message and, if any, metrics."""
        if not self.enabled:
            return
        entry: dict[str, Any] = {
            "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "level": level,
            "message": message,
        }
        if metrics:
            entry["metrics"] = dict(metrics)
        try:
            self._append((json.dumps(without_non_finite(entry)[0], ensure_ascii=False) + "\n").encode("utf-8"))
        except OSError as error:
            if not self._has_complained:
                console.print(f"{self.path} cannot be written: {error.strerror}; lines are missing")
            self._has_complained = True

    def _append(self, line: bytes) -> None:
        with self.path.open("ab", buffering=0) as file:
            end = file.tell()
            # A full disk may store part of a line, which would corrupt the next one.
            if file.write(line) < len(line):
                file.truncate(end)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
