"""`mal checkpoint info`: print what a checkpoint holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mal.checkpoint.summary import checkpoint_summary
from mal.config.problems import shown
from mal.config.schema import resolve_encryption_key
from mal.console import console

FAULTS_SHOWN = 3
WIDTH = 12  # of the names, unless one is longer
CHECKS = {
    "sha256": "as it was written (SHA-256)",
    "aes-256-gcm": "as it was written (AES-256-GCM)",
    None: "none: the file carries no digest",
}


def run(path: Path, *, as_json: bool) -> int:
    """Print the facts about a file; returns exit code 0.

    Raises:
        UserError: the file cannot be read.
    """
    summary = checkpoint_summary(path, resolve_encryption_key())
    if as_json:
        print(json.dumps(summary, indent=2))
        return 0
    lines = _lines(summary)
    width = max(WIDTH, *(len(name) + 2 for name, _ in lines))
    for name, text in lines:
        console.print(f"{name:<{width}}{text}")
    return 0


def _lines(summary: dict[str, Any]) -> list[tuple[str, str]]:
    encrypted = "encrypted" if summary["encrypted"] else "not encrypted"
    megabytes = summary["file_bytes"] / 1e6
    lines = [
        ("file", f"{summary['file']} ({megabytes:.1f} MB, {encrypted})"),
        ("check", CHECKS[summary["checked_by"]]),
        ("origin", summary["origin"]),
        ("licence", summary["licence"]),
        ("holds", f"{' and '.join(summary['holds'])}, {_parameters(summary)}"),
        ("arch", summary["arch"] or "not recognised"),
    ]
    named = (("stem", "stem"), ("decoder", "decoder"), ("blocks", "num_blocks"))
    lines += [(name, str(summary[key])) for name, key in named if summary[key]]
    if summary["epoch"] is not None:
        lines.append(("written in", f"epoch {summary['epoch']} (from 0), step {summary['global_step']}"))
    lines.append(("resume", "can go on training" if summary["can_resume"] else "weights only"))
    if summary["settings"]:
        lines.append(("labels with", ", ".join(f"{key} {shown(value)}" for key, value in summary["settings"].items())))
    lines += [(name, f"{value:.4g}") for name, value in summary["metrics"].items()]
    lines += [("no numbers", f"{name} {fault}") for name, fault in list(summary["faults"].items())[:FAULTS_SHOWN]]
    if len(summary["faults"]) > FAULTS_SHOWN:
        lines.append(("", f"... and {len(summary['faults']) - FAULTS_SHOWN} more tensors"))
    return lines


def _parameters(summary: dict[str, Any]) -> str:
    each = " each" if len(summary["holds"]) > 1 else ""
    return f"{summary['parameters'] / 1e6:.2f} million parameters{each}, {summary['dtype']}"
