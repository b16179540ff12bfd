"""The named tensors of a file, and what the file says about them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from mal.checkpoint.store import read_tensors
from mal.errors import UserError

NETWORK_PREFIXES = ("student.", "teacher.")
HEADS = ("roi_head.", "mask_head.")
_TENSOR_KEYS = ("state_dict", "model", "teacher")  # DINO's releases have student and teacher; the teacher is the better
_WRAPPERS = ("module.", "model.", "_orig_mod.")  # what parallel training and compiling put before names


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
        spec: the resolved spec that the checkpoint was trained with; empty for files that are not ours.
        foreign_settings: what another program saved as the settings of its run; empty for our files.
        epoch: the epoch that it was written in, from 0; None for other files.
        global_step: optimiser steps done; None for other files.
        place: where its training run goes on; None for files that no run can go on from.
        metrics: what the last validation before it found, by name.
    """

    path: Path
    tensors: dict[str, Tensor]
    spec: dict[str, Any]
    foreign_settings: dict[str, Any]
    epoch: int | None
    global_step: int | None
    place: TrainingPlace | None
    metrics: dict[str, float]

    @classmethod
    def of_spec(cls, path: Path, spec: dict[str, Any]) -> Weights:
        """No tensors, but the spec of a file that holds its network in another form."""
        return cls(path, {}, spec, {}, epoch=None, global_step=None, place=None, metrics={})

    @property
    def is_whole(self) -> bool:
        """Whether these are student and teacher of a checkpoint, rather than a backbone alone."""
        return any(name.startswith(NETWORK_PREFIXES) for name in self.tensors)

    @property
    def has_heads(self) -> bool:
        """Whether these make masks, rather than a backbone's features alone."""
        return any(name.startswith(HEADS) for name in self.network("student"))

    @property
    def stem(self) -> Literal["patch", "conv"] | None:
        """Which stem the weights have; None when they hold none."""
        names = [name for name in self.tensors if ".patch_embed.proj." in f".{name}"]
        if not names:
            return None
        return "patch" if any(name.endswith("patch_embed.proj.weight") for name in names) else "conv"

    def network(self, name: Literal["student", "teacher"]) -> dict[str, Tensor]:
        """Tensors of one network, without its prefix; the other's where the file holds only one.

        A file of a backbone alone gives the backbone's tensors under ``backbone.``.
        """
        for prefix in (f"{name}.", *NETWORK_PREFIXES):
            found = {key.removeprefix(prefix): value for key, value in self.tensors.items() if key.startswith(prefix)}
            if found:
                return _unwrapped(found)
        if any(key.startswith(HEADS) for key in self.tensors):
            return self.tensors
        return _with_last_norm({f"backbone.{key.removeprefix('backbone.')}": self.tensors[key] for key in self.tensors})


def read_weights(path: Path, encryption_key: str | None = None) -> Weights:
    """Read the weights of a checkpoint, a released backbone, or a safetensors file.

    Raises:
        UserError: the file cannot be read, or holds no named tensors.
        LockedFile: it is encrypted with another key.
        DamagedFile: it is not as it was written.
    """
    content = read_tensors(path, encryption_key)
    named = next((content[key] for key in _TENSOR_KEYS if isinstance(content.get(key), dict)), content)
    tensors = _unwrapped({str(name): value for name, value in named.items() if isinstance(value, Tensor)})
    if not tensors:
        raise UserError(f"{path}: holds no named weights")
    settings = _settings(content)
    is_ours = isinstance(settings.get("model"), dict) and "stem" in settings["model"]
    return Weights(
        path=path,
        tensors=tensors,
        spec=settings if is_ours else {},
        foreign_settings={} if is_ours else settings,
        epoch=_count(content, "epoch"),
        global_step=_count(content, "global_step"),
        place=_training_place(content),
        metrics=_metrics(content),
    )


def _unwrapped(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    for wrapper in _WRAPPERS:
        if tensors and all(name.startswith(wrapper) for name in tensors):
            return _unwrapped({name.removeprefix(wrapper): value for name, value in tensors.items()})
    return tensors


def _with_last_norm(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """A fine-tuned MAE has its last norm behind the mean of the tokens, under a name of its own."""
    if "backbone.norm.weight" in tensors:
        return tensors
    return {name.replace("backbone.fc_norm.", "backbone.norm."): value for name, value in tensors.items()}


def _settings(content: dict[str, Any]) -> dict[str, Any]:
    """Lightning's key, or that of training scripts which save their arguments."""
    for key in ("hyper_parameters", "args"):
        if isinstance(content.get(key), dict):
            return content[key]
    return {}


def _count(content: dict[str, Any], key: str) -> int | None:
    return content[key] if isinstance(content.get(key), int) else None


def _metrics(content: dict[str, Any]) -> dict[str, float]:
    """Our own, or the scores that Lightning's checkpoint callbacks watched."""
    found = content.get("metrics")
    metrics = dict(found) if isinstance(found, dict) else {}
    callbacks = content.get("callbacks")
    for state in callbacks.values() if isinstance(callbacks, dict) else ():
        if isinstance(state, dict) and state.get("monitor"):
            metrics[str(state["monitor"])] = state.get("current_score")
    numbers = {str(name): _number(value) for name, value in metrics.items()}
    return {name: number for name, number in numbers.items() if number is not None}


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) or (isinstance(value, Tensor) and value.numel() == 1)
    return float(value) if is_number else None


def _training_place(content: dict[str, Any]) -> TrainingPlace | None:
    """What the trainer's own counters say; "epoch" alone does not tell an epoch's middle from its end.

    A state from within a validation has all batches of its epoch behind it, and the epoch not yet.
    """
    try:
        loop = content["loops"]["fit_loop"]
        epochs, batches = loop["epoch_progress"]["current"], loop["epoch_loop.batch_progress"]["current"]
        num_batches = batches["ready"] if epochs["processed"] < epochs["ready"] else 0
        return TrainingPlace(epochs["processed"], num_batches)
    except (KeyError, TypeError):
        return None
