"""Write the weights of a checkpoint in another format, without its training state."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from mal.checkpoint.load import Checkpoint
from mal.checkpoint.safetensors_file import SUFFIX, write_safetensors
from mal.checkpoint.store import write_checkpoint
from mal.errors import UserError

Networks = Literal["student", "teacher", "both"]


def write_converted(
    checkpoint: Checkpoint,
    spec: dict[str, Any],
    path: Path,
    *,
    networks: Networks = "both",
    half: bool = False,
    encryption_key: str | None = None,
) -> None:
    """Write weights as safetensors, or in the public ``.pth`` layout (``state_dict`` of ``student.*``, ``teacher.*``).

    Args:
        checkpoint: as read.
        spec: saved with them, so that the file explains itself.
        path: its suffix decides the format.
        networks: which of the two to write; if the file has only one, it is written under the requested name.
        half: round floats to 16 bit.
        encryption_key: with one a ``.pth`` file is encrypted.

    Raises:
        UserError: the file cannot be written, or a value is too large for 16 bits.
        ValueError: there is a key for safetensors, which cannot be encrypted.
    """
    held = {"student": checkpoint.student, "teacher": checkpoint.teacher}
    chosen = held if networks == "both" else {networks: held[networks]}
    tensors = {
        f"{network}.{name}": _rounded(value, name) if half else value
        for network, values in chosen.items()
        for name, value in values.items()
    }
    training = checkpoint.training
    about: dict[str, Any] = {"hyper_parameters": spec, "metrics": training.metrics}
    about |= {"epoch": training.epoch, "global_step": training.global_step}
    if path.suffix == SUFFIX:
        if encryption_key:
            raise ValueError("safetensors cannot be encrypted")
        write_safetensors(tensors, about, path)
    else:
        write_checkpoint({**about, "state_dict": tensors}, path, encryption_key)


def _rounded(value: Tensor, name: str) -> Tensor:
    if not value.is_floating_point():
        return value
    half = value.to(torch.float16)
    if half.isinf().any():
        raise UserError(f"{name}: holds values too large for 16 bits: convert without --half")
    return half
