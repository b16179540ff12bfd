"""The whole spec, its derived paths, and its encryption key."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PrivateAttr, ValidationInfo, field_validator

from mal.config.fields import LABELING, Section, Task, path_field, path_or, spec_field
from mal.config.model_config import ModelConfig
from mal.config.sections import (
    DatasetConfig,
    EvaluateConfig,
    InferenceConfig,
    MasksConfig,
    MlflowConfig,
    PredictionSection,
    WandbConfig,
)
from mal.config.train_config import TrainConfig
from mal.paths import is_url

KEY_VARIABLE = "MAL_ENCRYPTION_KEY"


def resolve_encryption_key(spec: ExperimentSpec | None = None) -> str | None:
    """The spec's ``encryption_key``, else the environment's ``MAL_ENCRYPTION_KEY``; None if neither is set."""
    return (spec.encryption_key if spec else None) or os.environ.get(KEY_VARIABLE) or None


DEFAULT_RESULTS_DIR = "/results"


def _none_when_empty(value: Any) -> Any:
    return None if value == "" else value


class ExperimentSpec(Section):
    """Everything that a run is told. Field names, types and defaults are those of NVIDIA TAO 5.5's MAL page."""

    model_name: str | None = spec_field(None, "Name of the model for other tools; null means mal.", has_effect=False)
    encryption_key: Annotated[str | None, BeforeValidator(_none_when_empty)] = spec_field(
        None,
        "Password of the checkpoints: with it they are written and read encrypted. Never saved with the results."
        " Where it is not given, the environment variable MAL_ENCRYPTION_KEY counts.",
        x_secret=True,
        repr=False,
    )
    results_dir: Annotated[str, path_or(DEFAULT_RESULTS_DIR)] = path_field(
        "Folder of all results; each task has a folder of its own in it.", default=DEFAULT_RESULTS_DIR
    )
    strategy: Literal["ddp", "fsdp"] = spec_field(
        "ddp", "How several GPUs share the work: a whole model on each (ddp), or a part on each (fsdp)."
    )
    dataset: DatasetConfig = Field(default_factory=DatasetConfig)
    model: ModelConfig = Field(default_factory=ModelConfig)
    train: TrainConfig = Field(default_factory=TrainConfig)
    evaluate: EvaluateConfig = Field(default_factory=EvaluateConfig)
    inference: InferenceConfig = Field(default_factory=InferenceConfig)
    masks: MasksConfig = Field(default_factory=MasksConfig)
    wandb: WandbConfig = Field(default_factory=WandbConfig)
    mlflow: MlflowConfig = Field(default_factory=MlflowConfig)
    compat: Literal["tao"] | None = spec_field(
        None,
        "tao labels and evaluates as the public programs do, whatever the checkpoint was trained with: its refinement,"
        " thresholds, margins and other settings of masks do not count, only what the spec gives and public defaults."
        " The network and its crop size stay the checkpoint's.",
        tasks=LABELING,
        flag="--compat",
    )
    _references: dict[str, tuple[str, Any]] = PrivateAttr(default_factory=dict)

    @field_validator("compat")
    @classmethod
    def _check_compat(cls, value: str | None, info: ValidationInfo) -> str | None:
        for task in LABELING:
            section: PredictionSection | None = info.data.get(task)
            if value == "tao" and section is not None and section.refinement not in ("none", "crf"):
                raise ValueError(
                    f"tao contradicts {task}.refine: {section.refine}, which the public programs lack;"
                    " set one of the two only"
                )
        return value

    @property
    def references(self) -> dict[str, tuple[str, Any]]:
        """By dotted key: the reference of a value that came from the environment, and that value.

        The reference is saved instead, as long as the field still has the value.
        """
        return self._references


def task_results_dir(spec: ExperimentSpec, task: Task) -> Path:
    """The folder of a task's results: its own ``results_dir``, else ``<results_dir>/<task>``."""
    own = getattr(spec, task).results_dir
    return Path(own) if own else Path(spec.results_dir) / task


def label_dump_file(spec: ExperimentSpec) -> Path:
    """The label file of inference: a relative ``label_dump_path`` is in the results folder of inference.

    So is the local file of a URL, which is uploaded once it is complete.
    """
    path = spec.inference.label_dump_path
    return task_results_dir(spec, "inference") / (path.rpartition("/")[2] if is_url(path) else path)
