"""Checkpoints as safetensors, with everything else as JSON in the metadata."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from mal.errors import DamagedFile
from mal.files import atomic_file

SUFFIX = ".safetensors"
METADATA_KEY = "mal"
DIGEST_KEY = "mal_sha256"


def write_safetensors(tensors: dict[str, Tensor], about: dict[str, Any], path: Path) -> None:
    """Write a checkpoint atomically, with a digest of its content.

    Args:
        tensors: by full name.
        about: the rest of the checkpoint (``hyper_parameters``, ``epoch``, ...), plain values.
        path: the file.

    Raises:
        UserError: the file cannot be written.
    """
    text = json.dumps(about)
    metadata = {"format": "pt", METADATA_KEY: text, DIGEST_KEY: _digest(tensors, text)}
    content = save(_apart(tensors), metadata)  # save_file would leave a file that nobody else may read
    with atomic_file(path) as file:
        file.write(content)


def read_safetensors(path: Path) -> dict[str, Any]:
    """Read the tensors of a file by name; for files of `write_safetensors`, the whole checkpoint.

    Raises:
        DamagedFile: the content does not match the digest.
    """
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 -- not a dict
        metadata = file.metadata() or {}
    about = metadata.get(METADATA_KEY)
    if about is None:
        return tensors
    if metadata.get(DIGEST_KEY, "") not in ("", _digest(tensors, about)):
        raise DamagedFile(
            f"{path}: damaged: it was changed since it was written (its SHA-256 is another); take a copy of it, or"
            " another checkpoint"
        )
    return {**json.loads(about), "state_dict": tensors}


def has_safetensors_digest(path: Path) -> bool:
    """Whether a file carries a digest, right or wrong."""
    with safe_open(path, "pt") as file:
        return DIGEST_KEY in (file.metadata() or {})


def _digest(tensors: Mapping[str, Tensor], about: str) -> str:
    """SHA-256 in hexadecimal of names, types, shapes and values, in order of names, and of the text about them."""
    digest = hashlib.sha256(about.encode("utf-8"))
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _apart(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copy tensors that share memory, as student and teacher may; the format requires it."""
    owners: dict[int, str] = {}
    return {
        name: tensor.contiguous() if owners.setdefault(tensor.data_ptr(), name) == name else tensor.clone()
        for name, tensor in tensors.items()
    }
