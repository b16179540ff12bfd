"""Where a task runs, and in which precision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch

from mal.errors import UserError

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]


@dataclass(frozen=True, slots=True)
class DevicePlan:
    """What to tell the trainer.

    Attributes:
        accelerator: ``gpu``, ``mps`` or ``cpu``.
        devices: indices of the GPUs, or a number of processes.
        num_nodes: machines.
        strategy: the trainer's name of the strategy.
        precision: the trainer's name of the precision.
        summary: one line for people.
    """

    accelerator: str
    devices: list[int] | int
    num_nodes: int
    strategy: str
    precision: Precision
    summary: str

    @property
    def world_size(self) -> int:
        """Processes over all machines."""
        per_node = self.devices if isinstance(self.devices, int) else len(self.devices)
        return per_node * self.num_nodes

    def trainer_arguments(self) -> dict[str, Any]:
        """Keyword arguments of ``lightning.Trainer``."""
        return {
            "accelerator": self.accelerator,
            "devices": self.devices,
            "num_nodes": self.num_nodes,
            "strategy": self.strategy,
            "precision": self.precision,
        }


def plan_devices(*, gpu_ids: list[int], num_nodes: int, strategy: str, use_amp: bool) -> DevicePlan:
    """Choose the device for what a spec asks for; without a GPU the same spec runs on Apple's MPS or the CPU.

    Raises:
        UserError: a GPU that is not there, or a strategy that this version cannot run.
    """
    devices: list[int] | int = 1
    if torch.cuda.is_available():
        missing = [gpu for gpu in gpu_ids if gpu >= torch.cuda.device_count()]
        if missing:
            raise UserError(
                f"gpu_ids: {missing} asked for, but this machine has GPUs 0 to {torch.cuda.device_count() - 1}"
            )
        accelerator, devices, name = "gpu", gpu_ids, f"{len(gpu_ids)} x {torch.cuda.get_device_name(gpu_ids[0])}"
    elif torch.backends.mps.is_available():
        accelerator, name = "mps", "Apple MPS (no CUDA device here)"
    else:
        accelerator, name = "cpu", f"CPU with {torch.get_num_threads()} threads (no CUDA device here)"
    precision = choose_precision(accelerator) if use_amp else "32-true"
    plan = DevicePlan(accelerator, devices, num_nodes, "auto", precision, f"{name}, precision {precision}")
    if plan.world_size == 1:
        return plan
    if strategy != "ddp":
        raise UserError(f"strategy: {strategy} over several devices is not available in this version; use strategy=ddp")
    return DevicePlan(accelerator, devices, num_nodes, "ddp", precision, f"{plan.summary}, ddp over {plan.world_size}")


def choose_precision(accelerator: str) -> Precision:
    """Mixed precision where the hardware gains from it, bfloat16 before float16 since it needs no loss scaling."""
    if accelerator == "gpu":
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "16-mixed"
    if accelerator == "cpu" and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()):
        return "bf16-mixed"  # measured: without these instructions bfloat16 is emulated and slower than float32
    return "32-true"
