"""Summarize a checkpoint: origin, license, network, metrics."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from torch import Tensor

from mal.checkpoint.integrity import read_seal
from mal.checkpoint.load import load_checkpoint
from mal.checkpoint.matching import find_tensor_faults
from mal.checkpoint.model_fields import read_model_fields
from mal.checkpoint.origin import OURS
from mal.config.architectures import ARCHITECTURES
from mal.config.catalog import field_by_key
from mal.config.precedence import extract_settings
from mal.config.schema import ExperimentSpec

_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")  # of batch norms: buffers, no parameters


def checkpoint_summary(path: Path, encryption_key: str | None = None) -> dict[str, Any]:
    """Summarize a checkpoint as plain values; unknown ones are None.

    Returns:
        ``file``, ``file_bytes``, ``origin``, ``licence``, ``holds`` (names of networks, or ``backbone``), ``arch``,
        ``stem``, ``decoder``, ``num_blocks``, ``parameters`` of one network, ``dtype``, ``epoch``, ``global_step``,
        ``can_resume``, ``settings`` (by dotted key, the values that labeling takes from the file and that are not the
        public defaults), ``encrypted``, ``checked_by`` (``sha256``, ``aes-256-gcm``, or None for a file that carries
        nothing to check it by; a file that fails its check is an error), ``metrics``, ``faults`` (by name of a tensor,
        why no network can hold it).

    Raises:
        UserError: the file cannot be read, or needs another key.
        DamagedFile: it is not as it was written.
    """
    checkpoint = load_checkpoint(path, encryption_key)
    seal = read_seal(path)
    model, training = read_model_fields(checkpoint.spec), checkpoint.training
    return {
        "file": str(path),
        "file_bytes": path.stat().st_size,
        "origin": checkpoint.origin.name,
        "licence": checkpoint.origin.license,
        "holds": list(checkpoint.network_names),
        "arch": model.get("arch"),
        "stem": checkpoint.stem if str(model.get("arch")).startswith("vit-") else None,
        "decoder": model.get("decoder"),
        "num_blocks": _num_blocks(model),
        "parameters": sum(
            value.numel() for name, value in checkpoint.student.items() if not name.endswith(_STATISTICS)
        ),
        "dtype": _dtypes(checkpoint.student.values()),
        "epoch": training.epoch,
        "global_step": training.global_step,
        "can_resume": training.place is not None and checkpoint.origin == OURS,
        "settings": _settings(checkpoint.spec),
        "encrypted": seal == "aes-256-gcm",
        "checked_by": seal,
        "metrics": training.metrics,
        "faults": find_tensor_faults(checkpoint.tensors),
    }


def _settings(spec: ExperimentSpec) -> dict[str, Any]:
    fields = field_by_key()
    return {key: value for key, value in extract_settings(spec).items() if value != fields[key].default}


def _num_blocks(model: dict[str, Any]) -> int | None:
    arch = model.get("arch")
    return model.get("num_blocks") or (ARCHITECTURES[arch].depth if arch in ARCHITECTURES else None)


def _dtypes(tensors: Iterable[Tensor]) -> str:
    found = {str(tensor.dtype).removeprefix("torch.") for tensor in tensors if tensor.is_floating_point()}
    return ", ".join(sorted(found))
