"""Whether tensors hold what a network computes with: floating-point numbers, each of them finite."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from mal.errors import UserError

_ADVICE = "a training that diverged leaves such; take an earlier checkpoint"
# Integers under other names are counters and indices.
_WEIGHTS = ("weight", "bias")


def fault_of(tensor: Tensor, wanted: torch.dtype = torch.float32) -> str | None:
    """What is wrong with a weight, as the end of a sentence about it; None where nothing is.

    Args:
        tensor: of a file, of any shape.
        wanted: what a network will hold it as.
    """
    if tensor.is_complex():
        return f"holds complex numbers ({_dtype(tensor)})"
    if not wanted.is_floating_point:
        return None
    if not tensor.is_floating_point():
        return f"holds {_dtype(tensor)} in place of floating-point numbers"
    if tensor.layout != torch.strided:
        return "is a sparse tensor"
    values = tensor.to(wanted)
    if not values.isfinite().all():
        count = int((~values.isfinite()).sum())
        return f"holds values that are not numbers, or infinite ({count:,} of {values.numel():,})"
    return None


def require_numbers(tensors: Mapping[str, Tensor], path: Path, own: Mapping[str, Tensor] | None = None) -> None:
    """Nothing, where every tensor can be a weight.

    Args:
        tensors: of a file, by name.
        path: the file.
        own: what a network has under the same names, which decides what is wanted; None wants what
            `tensor_faults` does.

    Raises:
        UserError: one cannot; the file and the tensor are named.
    """
    faults = (
        tensor_faults(tensors)
        if own is None
        else {name: fault for name in tensors if (fault := fault_of(tensors[name], own[name].dtype))}
    )
    if faults:
        name, fault = next(iter(faults.items()))
        others = f", and {len(faults) - 1} more tensors are like it" if len(faults) > 1 else ""
        raise UserError(f"{path}: {name} {fault}{others}: {_ADVICE}")


def tensor_faults(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """What is wrong with the tensors of a file, by name."""
    found = {
        name: fault_of(value)
        for name, value in tensors.items()
        if value.is_floating_point() or value.is_complex() or name.endswith(_WEIGHTS)
    }
    return {name: fault for name, fault in found.items() if fault}


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
