"""How the tensors of a file come into a network: all of them, or those that fit."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from mal.checkpoint.numbers import require_numbers
from mal.errors import UserError

# Of a released backbone, what no feature map depends on: classifiers, MAE's decoder, DeiT's second token.
_UNUSED = ("backbone.head", "backbone.decoder", "backbone.mask_token", "backbone.dist_token", "backbone.fc_norm.")


@dataclass(frozen=True, slots=True)
class MatchReport:
    """What of a file came into a network, by tensor names."""

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
    """Fill what fits, keep the rest as it is; a position embedding of another grid is resized.

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
