"""What a checkpoint file holds, for people to read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mal.checkpoint.fitting import held_model
from mal.checkpoint.origin import origin_of
from mal.checkpoint.weights import NETWORK_PREFIXES, Weights, read_weights
from mal.config.architectures import ARCHITECTURES


def checkpoint_summary(path: Path) -> dict[str, Any]:
    """The facts about a file, as plain values; those that it does not tell are None.

    Returns:
        ``file``, ``file_bytes``, ``origin``, ``licence``, ``holds`` (names of networks, or ``backbone``), ``arch``,
        ``stem``, ``num_blocks``, ``parameters`` of one network, ``dtype``, ``epoch``, ``global_step``, ``can_resume``,
        ``encrypted``, ``metrics``.

    Raises:
        UserError: the file cannot be read.
    """
    weights = read_weights(path)
    tensors = weights.network("student")
    model, origin = held_model(weights), origin_of(weights)
    return {
        "file": str(path),
        "file_bytes": path.stat().st_size,
        "origin": origin.name,
        "licence": origin.licence,
        "holds": _networks(weights),
        "arch": model.get("arch"),
        "stem": weights.stem if str(model.get("arch")).startswith("vit-") else None,
        "num_blocks": _num_blocks(model),
        "parameters": sum(value.numel() for value in tensors.values() if value.is_floating_point()),
        "dtype": ", ".join(sorted({str(value.dtype).removeprefix("torch.") for value in _floats(tensors)})),
        "epoch": weights.epoch,
        "global_step": weights.global_step,
        "can_resume": weights.place is not None and bool(weights.spec),
        "encrypted": False,
        "metrics": weights.metrics,
    }


def _networks(weights: Weights) -> list[str]:
    if not weights.is_whole:
        return ["network" if weights.has_heads else "backbone"]
    return [
        prefix.rstrip(".") for prefix in NETWORK_PREFIXES if any(name.startswith(prefix) for name in weights.tensors)
    ]


def _num_blocks(model: dict[str, Any]) -> int | None:
    arch = model.get("arch")
    return model.get("num_blocks") or (ARCHITECTURES[arch].depth if arch in ARCHITECTURES else None)


def _floats(tensors: dict[str, Any]) -> list[Any]:
    return [value for value in tensors.values() if value.is_floating_point()]
