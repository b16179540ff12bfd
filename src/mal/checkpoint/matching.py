"""Load tensors into a network, exactly or where they match; refuse NaN and infinite weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from mal.errors import UserError

_ADVICE = "a training that diverged leaves such; take an earlier checkpoint"
# Integers under other names are counters and indices.
_WEIGHTS = ("weight", "bias")


def find_fault(tensor: Tensor, wanted: torch.dtype = torch.float32) -> str | None:
    """Find out why a tensor cannot be a weight; the end of a sentence about it, None if it can.

    Args:
        tensor: of a file, of any shape.
        wanted: dtype in the network.
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
    """Check that every tensor can be a weight.

    Args:
        tensors: of a file, by name.
        path: the file.
        own: the network's tensors of the same names, which give the dtypes; None checks as `find_tensor_faults` does.

    Raises:
        UserError: one cannot; the file and the tensor are named.
    """
    faults = (
        find_tensor_faults(tensors)
        if own is None
        else {name: fault for name in tensors if (fault := find_fault(tensors[name], own[name].dtype))}
    )
    if faults:
        name, fault = next(iter(faults.items()))
        others = f", and {len(faults) - 1} more tensors are like it" if len(faults) > 1 else ""
        raise UserError(f"{path}: {name} {fault}{others}: {_ADVICE}")


def find_tensor_faults(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Find the tensors that cannot be weights: name and reason."""
    found = {
        name: find_fault(value)
        for name, value in tensors.items()
        if value.is_floating_point() or value.is_complex() or name.endswith(_WEIGHTS)
    }
    return {name: fault for name, fault in found.items() if fault}


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


# Tensors of released backbones that no feature map uses: classifiers, MAE's decoder, DeiT's second token.
_UNUSED = ("backbone.head", "backbone.decoder", "backbone.mask_token", "backbone.dist_token", "backbone.fc_norm.")


@dataclass(frozen=True, slots=True)
class MatchReport:
    """Which tensors of a file were loaded into a network, by name."""

    matched: list[str]
    missing: list[str]
    unexpected: list[str]
    resized: list[str]

    def __str__(self) -> str:
        counts = ("matched", "missing", "unexpected", "resized")
        return ", ".join(f"{len(getattr(self, name))} {name}" for name in counts)


def load_exactly(network: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """Fill every parameter and buffer of a network.

    Raises:
        UserError: a tensor is missing, has another shape, or holds what are no finite numbers.
    """
    own = network.state_dict()
    missing = [name for name in own if name not in tensors and not _is_unused(name)]
    if missing:
        raise UserError(f"{path}: {len(missing)} weights are missing, for instance {missing[0]}")
    for name, value in own.items():
        if name in tensors and tensors[name].shape != value.shape:
            raise UserError(
                f"{path}: {name} has shape {list(tensors[name].shape)}, the network's is {list(value.shape)};"
                " the model section of the spec does not fit this checkpoint"
            )
    require_numbers({name: tensors[name] for name in own if name in tensors}, path, own)
    network.load_state_dict({name: tensors.get(name, value) for name, value in own.items()})


def load_matching(network: nn.Module, tensors: dict[str, Tensor], path: Path) -> MatchReport:
    """Load the tensors that match by name and shape, keep the rest; resizes position embeddings.

    Raises:
        UserError: nothing of the backbone fits, or what fits holds what are no finite numbers.
    """
    own = network.state_dict()
    fitting: dict[str, Tensor] = {}
    resized = []
    for name in own.keys() & tensors.keys():
        if tensors[name].shape == own[name].shape:
            fitting[name] = tensors[name]
        elif name.endswith("pos_embed") and _is_pos_embed_of_other_grid(tensors[name], own[name]):
            fitting[name] = _resize_pos_embed(tensors[name], own[name])
            resized.append(name)
    if not any(name.startswith("backbone.") for name in fitting):
        raise UserError(f"{path}: none of its weights fits this backbone; check model.arch and model.stem")
    require_numbers({name: tensors[name] for name in fitting}, path, own)
    network.load_state_dict(fitting, strict=False)
    return MatchReport(
        matched=sorted(fitting),
        missing=sorted(name for name in own.keys() - fitting.keys() if not _is_unused(name)),
        unexpected=sorted(name for name in tensors.keys() - fitting.keys() if not _is_unused(name)),
        resized=sorted(resized),
    )


def _is_pos_embed_of_other_grid(source: Tensor, target: Tensor) -> bool:
    return source.ndim == target.ndim == 3 and source.shape[-1] == target.shape[-1]


def _is_unused(name: str) -> bool:
    return name.startswith(_UNUSED)


def _resize_pos_embed(source: Tensor, target: Tensor) -> Tensor:
    from timm.layers.pos_embed import resample_abs_pos_embed

    prefix, side = _grid(source.shape[1])
    target_prefix, target_side = _grid(target.shape[1])
    # Prefix tokens beyond those of the target (DeiT's distillation token) have no place there.
    kept = torch.cat([source[:, :target_prefix], source[:, prefix:]], dim=1).float()
    return resample_abs_pos_embed(
        kept, new_size=[target_side, target_side], old_size=[side, side], num_prefix_tokens=target_prefix
    )


def _grid(num_tokens: int) -> tuple[int, int]:
    """Prefix tokens and side of the square grid of a position embedding."""
    prefix = next((count for count in (1, 2, 0, 5) if math.isqrt(num_tokens - count) ** 2 == num_tokens - count), 0)
    return prefix, math.isqrt(num_tokens - prefix)
