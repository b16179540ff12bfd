"""How the trainer writes and reads its checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.fabric.plugins import CheckpointIO

from mal.checkpoint.store import read_tensors, write_checkpoint


class AtomicCheckpointIO(CheckpointIO):
    """Checkpoints that are whole or not there, and that run no code when they are read.

    Args:
        encryption_key: with one they are written encrypted; both kinds are read.
    """

    def __init__(self, encryption_key: str | None = None) -> None:
        self._encryption_key = encryption_key

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """See `write_checkpoint`."""
        write_checkpoint(checkpoint, Path(path), self._encryption_key)

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint; always as plain data, whatever is asked for."""
        return read_tensors(Path(path), self._encryption_key)

    def remove_checkpoint(self, path: str | Path) -> None:
        """Delete a checkpoint."""
        Path(path).unlink(missing_ok=True)
