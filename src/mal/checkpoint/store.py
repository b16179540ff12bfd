"""Read and write checkpoint files, atomically."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import IO, Any

import torch

from mal.checkpoint.integrity import checked_reading, sealed_writing
from mal.checkpoint.safe_unpickle import allowed_globals, to_plain_data
from mal.checkpoint.safetensors_file import SUFFIX, read_safetensors
from mal.errors import DamagedFile, UserError, first_line, out_of_memory
from mal.file_kinds import describe_file_kind
from mal.files import atomic_file, cannot_write, disk_error, sync_folder


def link_atomically(source: Path, target: Path) -> None:
    """Hard-link ``target`` to ``source``, atomically; copies if the file system has no hard links.

    Raises:
        UserError: neither can be written.
    """
    draft = target.with_name(f".{target.name}.{os.getpid()}.link")
    draft.unlink(missing_ok=True)
    try:
        draft.hardlink_to(source)
    except OSError:
        with source.open("rb") as original, atomic_file(target) as copy:
            shutil.copyfileobj(original, copy)
        return
    try:
        draft.replace(target)
        sync_folder(target.parent)
    except OSError as error:
        raise cannot_write(target, error) from error


def read_tensors(path: Path, encryption_key: str | None = None) -> dict[str, Any]:
    """Read a ``.pth``, ``.ckpt``, ``.pt`` or ``.safetensors`` file on the CPU.

    Reads tensors and plain values only. Objects of Lightning, argparse and OmegaConf are converted to plain values;
    files with other objects are refused, and nothing in a file is executed. Files of `write_checkpoint` are verified
    before they are used.

    Args:
        path: the file.
        encryption_key: of an encrypted file; for others it has no meaning.

    Raises:
        UserError: no such file, or holding objects that are not plain data.
        LockedFile: encrypted with another key.
        DamagedFile: not a checkpoint, or not as it was written.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such checkpoint file")
    with checked_reading(path, encryption_key) as file:
        try:
            content = read_safetensors(path) if path.suffix == SUFFIX else _read_pickle(file)
        except UserError:
            raise
        # Damaged bytes make the readers raise nearly any type of error.
        except Exception as error:
            if out_of_memory(error):
                raise UserError(f"{path}: there is not enough memory to read it") from error
            if refused := re.search(r"GLOBAL ([\w.]+)", str(error)):
                reason = f"holds {refused[1]}, which is not plain data, so it was not loaded"
                raise UserError(f"{path}: {reason}") from error
            said = describe_file_kind(path, "a checkpoint", "zip", "pickle", "safetensors")
            what = said or f"not a checkpoint, or damaged ({type(error).__name__})"
            raise DamagedFile(f"{path}: {what}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds a {type(content).__name__} instead of named weights")
    return content


def _read_pickle(file: IO[bytes]) -> Any:
    foreign = allowed_globals(file)
    with torch.serialization.safe_globals(foreign):
        content = torch.load(file, map_location="cpu", weights_only=True)
    return to_plain_data(content) if foreign else content


def write_checkpoint(checkpoint: dict[str, Any], path: Path, encryption_key: str | None = None) -> None:
    """Write a checkpoint atomically, with its digest; with a key, encrypted.

    With a key, no unencrypted data is ever written.

    Raises:
        UserError: the file cannot be written.
    """
    try:
        with atomic_file(path) as file, sealed_writing(file, encryption_key) as writer:
            torch.save(checkpoint, writer)
    except RuntimeError as error:  # torch's archive writer wraps what stopped it
        if cause := disk_error(error):
            raise cannot_write(path, cause) from error
        raise UserError(f"{path}: the checkpoint could not be written ({first_line(error)})") from error
