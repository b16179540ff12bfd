"""``status.json``: what a run is doing, one JSON object a line, for programs that watch it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from mal.data.json_out import without_non_finite

Level = Literal["info", "warning", "error"]


class StatusLog:
    """Appends to ``status.json`` in a results folder.

    Args:
        results_dir: the folder; made when it does not exist.
        enabled: false in all processes but the first.
    """

    def __init__(self, results_dir: Path, *, enabled: bool = True) -> None:
        self.path = results_dir / "status.json"
        self.enabled = enabled
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
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(without_non_finite(entry)[0], ensure_ascii=False) + "\n")
