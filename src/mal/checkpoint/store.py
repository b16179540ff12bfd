"""Reading and writing checkpoint files."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import CheckpointIO

from mal.checkpoint.foreign_objects import plain, stand_ins
from mal.checkpoint.safetensors_file import read_safetensors
from mal.errors import UserError
from mal.files import atomic_file


def link_atomically(source: Path, target: Path) -> None:
    """Make ``target`` another name of the file ``source``; a copy where the file system has no links."""
    draft = target.with_name(f".{target.name}.{os.getpid()}.link")
    draft.unlink(missing_ok=True)
    try:
        draft.hardlink_to(source)
    except OSError:
        with source.open("rb") as original, atomic_file(target) as copy:
            shutil.copyfileobj(original, copy)
        return
    draft.replace(target)


def read_tensors(path: Path) -> dict[str, Any]:
    """The content of a ``.pth``, ``.ckpt``, ``.pt`` or ``.safetensors`` file, on the CPU.

    Only tensors and plain values are read. What Lightning, argparse and OmegaConf leave in a file comes as plain values
    too; a file that asks for anything else is refused, and nothing in any file is executed.

    Raises:
        UserError: no such file, not a checkpoint, damaged, or holding objects that are not plain data.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such checkpoint file")
    try:
        content = read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    # Damaged bytes make the readers raise nearly any type of error.
    except Exception as error:
        if refused := re.search(r"GLOBAL ([\w.]+)", str(error)):
            reason = f"holds {refused[1]}, which is not plain data, so it was not loaded"
            raise UserError(f"{path}: {reason}") from error
        raise UserError(f"{path}: not a checkpoint, or damaged ({type(error).__name__})") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds a {type(content).__name__} instead of named weights")
    return content


def _read_pickle(path: Path) -> Any:
    foreign = stand_ins(path)
    with torch.serialization.safe_globals(foreign):
        content = torch.load(path, map_location="cpu", weights_only=True)
    return plain(content) if foreign else content


def write_checkpoint(checkpoint: dict[str, Any], path: Path) -> None:
    """Write a checkpoint whole or not at all.

    Raises:
        UserError: the file cannot be written.
    """
    try:
        with atomic_file(path) as file:
            torch.save(checkpoint, file)
    except RuntimeError as error:  # how torch reports a full disk
        raise UserError(f"{path}: the checkpoint could not be written ({_first_line(error)})") from error


class AtomicCheckpointIO(CheckpointIO):
    """How the trainer writes and reads its checkpoints."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """See `write_checkpoint`."""
        write_checkpoint(checkpoint, Path(path))

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint; always as plain data, whatever is asked for."""
        return read_tensors(Path(path))

    def remove_checkpoint(self, path: str | Path) -> None:
        """Delete a checkpoint."""
        Path(path).unlink(missing_ok=True)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
