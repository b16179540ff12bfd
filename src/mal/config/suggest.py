"""The nearest real key of the spec for one that does not exist."""

from __future__ import annotations

import json
from difflib import SequenceMatcher
from functools import cache
from typing import Any

from mal.config.catalog import field_by_key, section_keys

_OTHER_NAMES = {
    "model.backbone": "model.arch",
    "model.architecture": "model.arch",
    "dataset.image_size": "dataset.crop_size",
    "dataset.img_size": "dataset.crop_size",
    "dataset.num_workers": "dataset.num_workers_per_gpu",
    "train.learning_rate": "train.lr",
    "train.weight_decay": "train.wd",
    "train.epochs": "train.num_epochs",
    "train.max_epochs": "train.num_epochs",
    "train.optimizer": "train.optim_type",
    "train.betas": "train.optim_betas",
    "train.eps": "train.optim_eps",
    "train.momentum": "train.optim_momentum",
    "train.threshold": "train.mask_thres",
    "train.resume": "train.resume_training_checkpoint_path",
    "train.pretrained": "train.pretrained_model_path",
    "train.gpus": "train.num_gpus",
    "inference.output": "inference.label_dump_path",
}
_NAMES_OF_OLDER_PAGES = {
    "train.save_every_k_epoch": "train.checkpoint_interval",
    "train.val_interval": "train.validation_interval",
}
_LEAST_LIKENESS = 0.6
_LEAST_NAME_LIKENESS = 0.5
_SURE_LIKENESS = 0.85
_WRONG_SECTION = 0.1  # how much worse a name's match is where its section differs
_TIE = 0.02


def nearest_keys(key: str) -> list[str]:
    """The real keys most like ``key``: several only where they are about equally near, none where nothing is.

    The section may be wrong or absent: ``lr`` finds ``train.lr``.
    """
    scores: dict[str, float] = {}
    for candidate, real_key in _candidates().items():
        is_its_section = candidate in section_keys() and key.startswith(f"{candidate}.")
        if not is_its_section:
            scores[real_key] = max(scores.get(real_key, 0.0), _likeness(key, candidate))
    best = max(scores.values())
    if best < _LEAST_LIKENESS:
        return []
    return sorted((key for key, score in scores.items() if score >= best - _TIE), key=lambda near: -scores[near])


def line_instead(key: str, value: Any) -> str:
    """What to write for a key of TAO's older pages, as the end of a message; empty for other keys.

    Args:
        key: dotted, no field of the spec.
        value: what the spec gives it.
    """
    section, _, name = key.rpartition(".")
    if name in ("gpus", "gpu_ids", "num_gpus", "gpu_index") and section in ("", "train", "evaluate", "inference"):
        real = f"{section or 'train'}.{'gpu_ids' if isinstance(value, list) else 'num_gpus'}"
    elif key in _NAMES_OF_OLDER_PAGES:
        real = _NAMES_OF_OLDER_PAGES[key]
    else:
        return ""
    section, _, name = real.rpartition(".")
    line = json.dumps(value) if isinstance(value, (bool, int, float, str, list)) else "..."
    return f"; write `{name}: {line}`" + (f" under `{section}:`" if section else "")


def did_you_mean(key: str) -> str:
    """`nearest_keys` as the end of a message: ``"; did you mean train.lr?"``, or empty."""
    near = nearest_keys(key)
    if not near:
        return ""
    listed = ", ".join(near[:-1]) + " or " + near[-1] if len(near) > 1 else near[0]
    return f"; did you mean {listed}?"


def _likeness(key: str, candidate: str) -> float:
    whole = SequenceMatcher(None, key, candidate, autojunk=False).ratio()
    name = SequenceMatcher(None, key.rpartition(".")[2], candidate.rpartition(".")[2], autojunk=False).ratio()
    # Two keys of one section are alike for the section's sake: the names must be alike too.
    is_alike = name >= _LEAST_NAME_LIKENESS or whole >= _SURE_LIKENESS
    return max(whole, name - _WRONG_SECTION) if is_alike else 0.0


@cache
def _candidates() -> dict[str, str]:
    return {key: key for key in (*section_keys(), *field_by_key())} | _OTHER_NAMES
