"""Load a checkpoint of any known origin: spec, networks, training state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from mal.checkpoint.origin import OURS, CheckpointOrigin, recognize_origin
from mal.checkpoint.recognition import FPN_PREFIX, recognized_decoder, recognized_spec, with_decoder
from mal.checkpoint.saved_spec import spec_from_saved
from mal.checkpoint.store import read_tensors
from mal.config.schema import ExperimentSpec
from mal.errors import UserError
from mal.runtime.lightning_internals import epochs_and_batches_done

NETWORK_PREFIXES = ("student.", "teacher.")
HEADS = ("roi_head.", "mask_head.", FPN_PREFIX)
_TENSOR_KEYS = ("state_dict", "model", "teacher")  # DINO's releases have student and teacher; the teacher is the better
_WRAPPERS = ("module.", "model.", "_orig_mod.")  # what parallel training and compiling put before names


@dataclass(frozen=True, slots=True)
class TrainingPosition:
    """Where a training run resumes.

    Attributes:
        epoch: the epoch to resume in, from 0.
        num_batches: batches of it that each rank has done.
    """

    epoch: int
    num_batches: int


@dataclass(frozen=True, slots=True)
class TrainingState:
    """State of the run that wrote a file; each field may be absent.

    Attributes:
        epoch: the epoch that it was written in, from 0.
        global_step: optimizer steps done.
        place: where the run resumes; None if no run can resume from the file.
        metrics: of the last validation before it was written, by name.
    """

    epoch: int | None
    global_step: int | None
    place: TrainingPosition | None
    metrics: dict[str, float]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A loaded checkpoint.

    Attributes:
        path: the file.
        spec: the training spec of our own files. For files of other programs, the ``model`` fields that follow from
            names and shapes of tensors; for a released backbone ``arch`` only; empty if the file is not recognized.
        student, teacher: tensors of the networks by name; the same for both if the file has only one network. Tensors
            of a released backbone lie under ``backbone.``.
        network_names: ``student``, ``teacher`` or both; else ``network`` or ``backbone``.
        origin: the program or release that wrote it.
        training: the state of its run.
    """

    path: Path
    spec: ExperimentSpec
    student: dict[str, Tensor]
    teacher: dict[str, Tensor]
    network_names: tuple[str, ...]
    origin: CheckpointOrigin
    training: TrainingState

    @property
    def stem(self) -> Literal["patch", "conv"] | None:
        """The stem of the weights; None if they have none."""
        names = [name for name in self.student if ".patch_embed.proj." in f".{name}"]
        if not names:
            return None
        return "patch" if any(name.endswith("patch_embed.proj.weight") for name in names) else "conv"

    @property
    def tensors(self) -> dict[str, Tensor]:
        """All tensors of the file, with the name of their network as prefix."""
        networks = {"student": self.student, "teacher": self.teacher}
        named = {f"{name}.{key}": value for name in self.network_names for key, value in networks.get(name, {}).items()}
        return named or self.student

    def network_spec(self) -> ExperimentSpec:
        """The spec, if it determines the network.

        Raises:
            UserError: it does not, or the file has a backbone only.
        """
        is_known = "arch" in self.spec.model.model_fields_set and has_heads(self.student)
        if self.origin != OURS and not is_known:
            raise UserError(f"{self.path}: holds weights, but not the spec that tells which network they belong to")
        return self.spec


def load_checkpoint(path: Path, encryption_key: str | None = None) -> Checkpoint:
    """Read a checkpoint, a released backbone, or a safetensors file.

    Raises:
        UserError: the file cannot be read, holds no named tensors, or a spec that does not fit this version.
        LockedFile: it is encrypted with another key.
        DamagedFile: it is not as it was written.
    """
    content = read_tensors(path, encryption_key)
    tensors = _named_tensors(content, path)
    student, teacher = _network(tensors, "student"), _network(tensors, "teacher")
    settings = _settings(content)
    is_ours = isinstance(settings.get("model"), dict) and "stem" in settings["model"]
    whole = has_heads(student)
    spec = spec_from_saved(settings, path) if is_ours else recognized_spec(student, settings, whole=whole)
    if whole:  # runs of versions without a choice saved none, and other programs have none
        spec = with_decoder(spec, recognized_decoder(student))
    origin = OURS if is_ours else recognize_origin(student, spec.model, settings, whole=whole)
    training = TrainingState(
        epoch=_count(content, "epoch"),
        global_step=_count(content, "global_step"),
        place=_read_training_position(content),
        metrics=_metrics(content),
    )
    return Checkpoint(path, spec, student, teacher, _find_network_names(tensors), origin, training)


def has_heads(network: Mapping[str, Tensor]) -> bool:
    """Whether the tensors include the mask heads, not only a backbone."""
    return any(name.startswith(HEADS) for name in network)


def _named_tensors(content: dict[str, Any], path: Path) -> dict[str, Tensor]:
    named = next((content[key] for key in _TENSOR_KEYS if isinstance(content.get(key), dict)), content)
    tensors = _unwrapped({str(name): value for name, value in named.items() if isinstance(value, Tensor)})
    if not tensors:
        raise UserError(f"{path}: holds no named weights")
    return tensors


def _network(tensors: dict[str, Tensor], name: Literal["student", "teacher"]) -> dict[str, Tensor]:
    """Tensors of one network, without its prefix; the other's where there is only one."""
    for prefix in (f"{name}.", *NETWORK_PREFIXES):
        found = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
        if found:
            return _unwrapped(found)
    if has_heads(tensors):
        return tensors
    return _with_last_norm({f"backbone.{key.removeprefix('backbone.')}": value for key, value in tensors.items()})


def _find_network_names(tensors: dict[str, Tensor]) -> tuple[str, ...]:
    prefixes = [prefix for prefix in NETWORK_PREFIXES if any(name.startswith(prefix) for name in tensors)]
    return tuple(prefix.rstrip(".") for prefix in prefixes) or ("network" if has_heads(tensors) else "backbone",)


def _unwrapped(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    for wrapper in _WRAPPERS:
        if tensors and all(name.startswith(wrapper) for name in tensors):
            return _unwrapped({name.removeprefix(wrapper): value for name, value in tensors.items()})
    return tensors


def _with_last_norm(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the last norm of a fine-tuned MAE, which lies after the mean of the tokens under another name."""
    if "backbone.norm.weight" in tensors:
        return tensors
    return {name.replace("backbone.fc_norm.", "backbone.norm."): value for name, value in tensors.items()}


def _settings(content: dict[str, Any]) -> dict[str, Any]:
    """Settings under Lightning's key, or under that of scripts that save their arguments."""
    for key in ("hyper_parameters", "args"):
        if isinstance(content.get(key), dict):
            return content[key]
    return {}


def _count(content: dict[str, Any], key: str) -> int | None:
    return content[key] if isinstance(content.get(key), int) else None


def _metrics(content: dict[str, Any]) -> dict[str, float]:
    """Our own metrics, or the scores monitored by Lightning's checkpoint callbacks."""
    found = content.get("metrics")
    metrics = dict(found) if isinstance(found, dict) else {}
    callbacks = content.get("callbacks")
    for state in callbacks.values() if isinstance(callbacks, dict) else ():
        if isinstance(state, dict) and state.get("monitor"):
            metrics[str(state["monitor"])] = state.get("current_score")
    numbers = {str(name): _finite_number(value) for name, value in metrics.items()}
    return {name: number for name, number in numbers.items() if number is not None}


def _finite_number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) or (isinstance(value, Tensor) and value.numel() == 1)
    return float(value) if is_number else None


def _read_training_position(content: dict[str, Any]) -> TrainingPosition | None:
    """Read the trainer's own counters; "epoch" alone does not distinguish the middle of an epoch from its end."""
    try:
        return TrainingPosition(*epochs_and_batches_done(content))
    except (KeyError, TypeError):
        return None
