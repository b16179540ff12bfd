"""Devices, precision and the number of processes of a task, and who launched them."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from mal.config.fields import Task
from mal.errors import UserError
from mal.runtime.fsdp import ShardedStrategy
from mal.runtime.launch import cpu_processes, this_launch
from mal.runtime.lightning_internals import cpu_computes_bfloat16


def peak_bytes_of_process() -> int:
    """Peak resident bytes of this process, including libraries but not loader processes; not for Windows."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux hands ru_maxrss of a process on to the programs that it starts
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return 1024 * int(line.split()[1])
    import resource  # which Windows lacks

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


Precision = Literal["32-true", "bf16-mixed", "16-mixed"]


def autocast_dtype(precision: Precision) -> torch.dtype | None:
    """The half precision of mixed precision; None for float32."""
    return {"32-true": None, "bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}[precision]


@dataclass(frozen=True, slots=True)
class DevicePlan:
    """Devices and precision for the trainer.

    Attributes:
        accelerator: ``gpu``, ``mps`` or ``cpu``.
        devices: indices of the GPUs, or a number of processes, on each machine.
        num_nodes: machines.
        strategy: ``ddp`` or ``fsdp`` for several processes, ``auto`` for one.
        precision: the trainer's name of the precision.
        summary: one line for the terminal.
    """

    accelerator: str
    devices: list[int] | int
    num_nodes: int
    strategy: str
    precision: Precision
    summary: str

    @property
    def world_size(self) -> int:
        """Number of processes on all machines."""
        per_node = self.devices if isinstance(self.devices, int) else len(self.devices)
        return per_node * self.num_nodes

    def trainer_arguments(self) -> dict[str, Any]:
        """Keyword arguments of ``lightning.Trainer``."""
        return {
            "accelerator": self.accelerator,
            "devices": self.devices,
            "num_nodes": self.num_nodes,
            "strategy": ShardedStrategy(self.world_size) if self.strategy == "fsdp" else self.strategy,
            "precision": self.precision,
        }


def plan_devices(
    *, gpu_ids: list[int], num_nodes: int, strategy: str, use_amp: bool, task: Task = "train"
) -> DevicePlan:
    """Choose the devices for a spec; without a GPU the same spec runs on Apple's MPS or the CPU.

    The spec sets the GPUs. On a CPU the launcher sets the number of processes; without a launcher
    ``MAL_CPU_PROCESSES`` does, for servers with several sockets and for trials.

    Args:
        gpu_ids: GPUs to use on each machine.
        num_nodes: machines.
        strategy: ``ddp`` or ``fsdp``.
        use_amp: use half precision if the hardware gains from it.
        task: section of the spec, for messages.

    Raises:
        UserError: a GPU does not exist, or processes or machines differ from those that were launched.
    """
    launch = this_launch()
    launch.check_nodes(num_nodes, task)
    devices: list[int] | int
    if torch.cuda.is_available():
        _check_gpus(gpu_ids, task)
        launch.check_gpus(len(gpu_ids), task)
        accelerator, devices, name = "gpu", gpu_ids, f"{len(gpu_ids)} x {torch.cuda.get_device_name(gpu_ids[0])}"
    elif (devices := cpu_processes(launch)) == num_nodes == 1 and torch.backends.mps.is_available():
        accelerator, name = "mps", "Apple MPS (no CUDA device here)"
    else:
        accelerator, name = "cpu", f"CPU with {torch.get_num_threads()} threads (no CUDA device here)"
    precision = choose_precision(accelerator) if use_amp else "32-true"
    per_node = devices if isinstance(devices, int) else len(devices)
    if per_node * num_nodes == 1:
        return DevicePlan(accelerator, devices, 1, "auto", precision, f"{name}, precision {precision}")
    if strategy == "fsdp" and precision == "16-mixed":
        precision = "32-true"  # the trainer supports no loss scaling with sharding
    machines = f" on each of {num_nodes} machines" if num_nodes > 1 else ""
    summary = f"{name}{machines}, precision {precision}, {strategy} over {per_node * num_nodes} processes"
    return DevicePlan(accelerator, devices, num_nodes, strategy, precision, summary)


def choose_precision(accelerator: str) -> Precision:
    """Choose mixed precision if the hardware gains from it, bfloat16 before float16 since it needs no loss scaling."""
    if accelerator == "gpu":
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "16-mixed"
    if accelerator == "cpu" and cpu_computes_bfloat16():
        return "bf16-mixed"  # measured: without these instructions bfloat16 is emulated and slower than float32
    return "32-true"


def _check_gpus(gpu_ids: list[int], task: Task) -> None:
    count = torch.cuda.device_count()
    missing = [gpu for gpu in gpu_ids if gpu >= count]
    if missing:
        raise UserError(f"{task}.gpu_ids: {missing} asked for, but this machine has GPUs 0 to {count - 1}")
