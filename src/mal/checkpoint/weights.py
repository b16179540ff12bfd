"""Weights found in a file, and how they come into a network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mal.checkpoint.store import read_tensors
from mal.errors import UserError

NETWORK_PREFIXES = ("student.", "teacher.")
HEADS = ("roi_head.", "mask_head.")


@dataclass(frozen=True, slots=True)
class TrainingPlace:
    """Where a training run goes on.

    Attributes:
        epoch: the epoch to go on with, 0 for the first.
        num_batches: batches of it that each process has done.
    """

    epoch: int
    num_batches: int


@dataclass(frozen=True, slots=True)
class Weights:
    """Named tensors of a file.

    Attributes:
        path: where they came from.
        tensors: by name; those of a whole checkpoint begin with ``student.`` or ``teacher.``.
        spec: the resolved spec that the checkpoint was trained with; empty for other files.
        global_step: optimiser steps done; None for other files.
        place: where its training run goes on; None for files that no run can go on from.
    """

    path: Path
    tensors: dict[str, Tensor]
    spec: dict[str, Any]
    global_step: int | None
    place: TrainingPlace | None

    @property
    def is_whole(self) -> bool:
        """Whether these are student and teacher of a checkpoint, rather than a backbone alone."""
        return any(name.startswith(NETWORK_PREFIXES) for name in self.tensors)

    @property
    def stem(self) -> Literal["patch", "conv"] | None:
        """Which stem the weights have; None when they hold none."""
        names = [name for name in self.tensors if ".patch_embed.proj." in f".{name}"]
        if not names:
            return None
        return "patch" if any(name.endswith("patch_embed.proj.weight") for name in names) else "conv"

    def network(self, name: Literal["student", "teacher"]) -> dict[str, Tensor]:
        """Tensors of one network, without its prefix; the student's where the file has no teacher.

        A file of a backbone alone gives the backbone's tensors under ``backbone.``.
        """
        for prefix in (f"{name}.", "student."):
            found = {key.removeprefix(prefix): value for key, value in self.tensors.items() if key.startswith(prefix)}
            if found:
                return found
        if any(key.startswith(HEADS) for key in self.tensors):
            return self.tensors
        return {f"backbone.{key.removeprefix('backbone.')}": value for key, value in self.tensors.items()}


def read_weights(path: Path) -> Weights:
    """Read the weights of a checkpoint, a released backbone, or a safetensors file.

    Raises:
        UserError: the file cannot be read, or holds no named tensors.
    """
    content = read_tensors(path)
    for key in ("state_dict", "model"):
        if isinstance(content.get(key), dict):
            tensors = content[key]
            break
    else:
        tensors = content
    tensors = {str(name): value for name, value in tensors.items() if isinstance(value, Tensor)}
    if not tensors:
        raise UserError(f"{path}: holds no named weights")
    spec, step = content.get("hyper_parameters"), content.get("global_step")
    return Weights(
        path=path,
        tensors=tensors,
        spec=spec if isinstance(spec, dict) else {},
        global_step=step if isinstance(step, int) else None,
        place=_training_place(content),
    )


def _training_place(content: dict[str, Any]) -> TrainingPlace | None:
    """What the trainer's own counters say; "epoch" alone does not tell an epoch's middle from its end."""
    try:
        loop = content["loops"]["fit_loop"]
        batches = loop["epoch_loop.batch_progress"]
        num_batches = 0 if batches["is_last_batch"] else batches["current"]["ready"]
        return TrainingPlace(loop["epoch_progress"]["current"]["processed"], num_batches)
    except (KeyError, TypeError):
        return None


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
        UserError: a tensor is missing or has another shape.
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
    network.load_state_dict({name: tensors.get(name, value) for name, value in own.items()})


def load_matching(network: nn.Module, tensors: dict[str, Tensor], path: Path) -> MatchReport:
    """Fill what fits, keep the rest as it is; a position embedding of another grid is resized.

    Raises:
        UserError: nothing of the backbone fits.
    """
    own = network.state_dict()
    fitting: dict[str, Tensor] = {}
    resized = []
    for name in own.keys() & tensors.keys():
        if tensors[name].shape == own[name].shape:
            fitting[name] = tensors[name]
        elif name.endswith("pos_embed") and tensors[name].ndim == 3:
            fitting[name] = _resize_pos_embed(tensors[name], own[name])
            resized.append(name)
    if not any(name.startswith("backbone.") for name in fitting):
        raise UserError(f"{path}: none of its weights fits this backbone; check model.arch and model.stem")
    network.load_state_dict(fitting, strict=False)
    return MatchReport(
        matched=sorted(fitting),
        missing=sorted(name for name in own.keys() - fitting.keys() if not _is_unused(name)),
        unexpected=sorted(tensors.keys() - fitting.keys()),
        resized=sorted(resized),
    )


def _is_unused(name: str) -> bool:
    """The classifier of the patch generation: in the public layout, in no computation."""
    return name.startswith("backbone.head.")


def _resize_pos_embed(source: Tensor, target: Tensor) -> Tensor:
    from timm.layers.pos_embed import resample_abs_pos_embed

    side = round((target.shape[1] - 1) ** 0.5)
    return resample_abs_pos_embed(source, new_size=[side, side], num_prefix_tokens=1).to(torch.float32)
