"""The flags of TAO's launcher: translated to spec fields, or refused with a replacement."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from mal.config.fields import Task

_NO_EFFECT = "has no place here: leave it out"
_INSTEAD: dict[tuple[str, ...], str] = {
    ("-m", "--resume_model_weights"): "write train.resume_training_checkpoint_path=FILE to go on with a run,"
    " train.pretrained_model_path=FILE to begin with its weights, or checkpoint=FILE of evaluate or inference",
    ("-o", "--output_specs_dir"): "write results_dir=DIR; `mal spec` prints a spec to start from",
    ("--use_amp",): "write train.use_amp=true",
    ("-np", "--num_processes"): "write num_gpus=N and num_nodes=N of the task, as in train.num_gpus=2",
    ("--mpirun_arg", "--mpirun-arg"): _NO_EFFECT,
    ("--launch_cuda_blocking",): f"{_NO_EFFECT}, or set CUDA_LAUNCH_BLOCKING=1 in the environment",
    ("--log_file",): f"{_NO_EFFECT}; results_dir holds status.json, and the shell can keep what is printed",
}


def add_tao_flags(parser: argparse.ArgumentParser, task: Task) -> None:
    """Add the flags to a parser whose namespace has a list ``overrides``."""
    group = parser.add_argument_group("flags of TAO's own command line, each the same as a field")
    for names, key, value in (
        (("-r", "--results_dir", "--results-dir"), "results_dir", "DIR"),
        (("-g", "--gpus", "--num_gpus"), f"{task}.num_gpus", "N"),
        (("--gpu_ids", "--gpu_index"), f"{task}.gpu_ids", "0,1"),
        (("--num_nodes",), f"{task}.num_nodes", "N"),
        (("-k", "--key"), "encryption_key", "KEY"),
    ):
        group.add_argument(*names, dest=f"tao {key}", metavar=value, help=f"as {key}={value}")
    for flags, advice in _INSTEAD.items():
        parser.add_argument(*flags, action=_Instead, advice=advice, nargs="?", help=argparse.SUPPRESS)


def tao_overrides(arguments: argparse.Namespace, task: Task) -> list[str]:
    """Translate the flags to ``key=value`` overrides."""
    given = {
        name.removeprefix("tao "): value
        for name, value in vars(arguments).items()
        if name.startswith("tao ") and value is not None
    }
    gpus = given.get(f"{task}.num_gpus", "")
    if "," in gpus or "[" in gpus:  # the launcher accepts a number of GPUs or a list
        given.setdefault(f"{task}.gpu_ids", given.pop(f"{task}.num_gpus"))
    return [f"{key}={_as_list(value) if key.endswith('.gpu_ids') else value}" for key, value in given.items()]


def _as_list(text: str) -> str:
    return f"[{text.strip('[]')}]"


class _Instead(argparse.Action):
    """Exits with the replacement of the flag."""

    def __init__(self, *args: Any, advice: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.advice = advice

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> NoReturn:
        parser.error(f"{option_string} of TAO: {self.advice}")
