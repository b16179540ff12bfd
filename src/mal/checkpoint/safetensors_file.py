"""Checkpoints as safetensors: named tensors, and everything else as one JSON text in the file's metadata."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from mal.files import atomic_file

METADATA_KEY = "mal"


def write_safetensors(tensors: dict[str, Tensor], about: dict[str, Any], path: Path) -> None:
    """Write a checkpoint whole or not at all.

    Args:
        tensors: by full name.
        about: the rest of the checkpoint (``hyper_parameters``, ``epoch``, ...), plain values.
        path: the file.

    Raises:
        UserError: the file cannot be written.
    """
    metadata = {"format": "pt", METADATA_KEY: json.dumps(about)}
    with atomic_file(path) as file:
        save_file(_apart(tensors), file.name, metadata)


def read_safetensors(path: Path) -> dict[str, Any]:
    """The tensors of a file by name; of one that `write_safetensors` made, the whole checkpoint."""
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 -- not a dict
        about = (file.metadata() or {}).get(METADATA_KEY)
    return tensors if about is None else {**json.loads(about), "state_dict": tensors}


def _apart(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors that share memory, as those of student and teacher may, get their own: the format asks for it."""
    owners: dict[int, str] = {}
    return {
        name: tensor.contiguous() if owners.setdefault(tensor.data_ptr(), name) == name else tensor.clone()
        for name, tensor in tensors.items()
    }
