"""The `wandb` section: an optional copy of the training log at Weights & Biases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mal.config.fields import Section, spec_field


def _wandb_field(default: Any, description: str, tasks: Sequence[Any] = ("train",)) -> Any:
    return spec_field(default, description, tasks=tasks)


class WandbConfig(Section):
    """Experiment tracking; nothing is sent unless the wandb package is installed and logged in."""

    enable: bool = _wandb_field(
        True, "Log to Weights & Biases; takes effect only where the wandb package is installed and logged in."
    )
    project: str = _wandb_field("TAO Toolkit", "Project that the run belongs to.")
    entity: str | None = _wandb_field("", "User or team that owns the project; empty means the one logged in.")
    tags: list[str] = _wandb_field(["training", "tao-toolkit"], "Tags of the run.")
    name: str = _wandb_field("TAO Toolkit training experiment", "Name of the run.")
    reinit: bool = _wandb_field(False, "Allow several runs in one process.")
    sync_tensorboard: bool = _wandb_field(False, "Also send what is written for TensorBoard.")
    save_code: bool = _wandb_field(False, "Also send the source code of the run.")
