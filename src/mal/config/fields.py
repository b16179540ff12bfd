"""The strict base model of all sections, and the helpers that declare a field."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

Task = Literal["train", "evaluate", "inference"]
ALL_TASKS: tuple[Task, ...] = ("train", "evaluate", "inference")
LABELING: tuple[Task, ...] = ("evaluate", "inference")


class Section(BaseModel):
    """A group of fields: unknown keys are refused, and values are not converted (a string never becomes a number)."""

    model_config = ConfigDict(
        extra="forbid", strict=True, allow_inf_nan=False, validate_default=True, protected_namespaces=()
    )


def spec_field(
    default: Any,
    description: str,
    *,
    tasks: Sequence[Task] = ALL_TASKS,
    from_checkpoint: bool = False,
    flag: str | None = None,
    has_effect: bool = True,
    **rules: Any,
) -> Any:
    """Declare a field of the spec.

    Args:
        default: value if the spec does not set it.
        description: what the field does; help, documentation and JSON Schema show it.
        tasks: the tasks that read the field; specs and help made for another task leave it out.
        from_checkpoint: the field decides masks; if it is not given, labeling and evaluation take the checkpoint's
            value, see `mal.config.precedence`.
        flag: the option of ``mal label`` that sets the field, such as ``--min-part``.
        has_effect: False for a field that is accepted only because TAO's specs have it.
        rules: pydantic's limits (``ge``, ``lt``, ``min_length``, ...), or ``x_*``, ``enum`` and ``anyOf``, which go
            into the JSON Schema only.
    """
    extra: dict[str, Any] = {"x-tasks": list(tasks), "x-from-checkpoint": from_checkpoint, "x-flag": flag}
    extra["x-has-effect"] = has_effect
    for rule in ("enum", "anyOf", "format", "x_secret"):
        if rule in rules:
            extra[rule.replace("_", "-")] = rules.pop(rule)
    return Field(default, description=description, json_schema_extra=extra, **rules)


def path_field(
    description: str,
    *,
    default: str | None = None,
    tasks: Sequence[Task] = ALL_TASKS,
    flag: str | None = None,
    has_effect: bool = True,
) -> Any:
    """Declare a field that holds a path; see `PathText`."""
    return spec_field(default, description, tasks=tasks, flag=flag, has_effect=has_effect, format="path")


def path_text(value: Any) -> Any:
    """Expand ``~`` in a path; None for an empty string; any other value unchanged."""
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if isinstance(value, str) and value.startswith("~"):
        return str(Path(value).expanduser())
    return None if value == "" else value


PathText = Annotated[str | None, BeforeValidator(path_text)]
"""A path as a string: empty counts as None, ``~`` is the home folder."""


def path_or(default: str) -> BeforeValidator:
    """Validator for a path that is never None: an empty string and null count as ``default``."""
    return BeforeValidator(lambda value: default if path_text(value) is None else path_text(value))


def without_engine(value: str | None) -> str | None:
    """Refuse a TensorRT engine, which newer TAO specs can name."""
    if value is not None:
        raise ValueError("TensorRT engines are not read; leave it empty and name a .pth file in `checkpoint`")
    return value


class DeviceSection(Section):
    """The devices of one task; `num_gpus` and `gpu_ids` always agree once the section is built."""

    num_gpus: int = spec_field(
        1, "Number of GPUs on each machine. Where it disagrees with gpu_ids, the larger number of GPUs counts.", ge=1
    )
    gpu_ids: list[int] = spec_field(
        [0],
        "Indices of the GPUs to use. Without a CUDA device the task runs on the CPU or on Apple's MPS.",
        min_length=1,
    )
    num_nodes: int = spec_field(
        1, "Number of machines; above 1 the task is started by torchrun or SLURM on each of them.", ge=1
    )

    @field_validator("gpu_ids")
    @classmethod
    def _check_gpu_ids(cls, gpu_ids: list[int]) -> list[int]:
        negative = [index for index in gpu_ids if index < 0]
        if negative:
            raise ValueError(f"{negative[0]} is not the index of a GPU; indices start at 0")
        repeated = [index for index in gpu_ids if gpu_ids.count(index) > 1]
        if repeated:
            raise ValueError(f"GPU {repeated[0]} is listed more than once")
        return gpu_ids

    @model_validator(mode="after")
    def _use_larger_gpu_count(self) -> DeviceSection:
        self.num_gpus = max(self.num_gpus, len(self.gpu_ids))
        unused = (index for index in range(self.num_gpus) if index not in self.gpu_ids)
        missing = self.num_gpus - len(self.gpu_ids)
        self.gpu_ids = self.gpu_ids + [next(unused) for _ in range(missing)]
        return self
