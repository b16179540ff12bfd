"""Devices, precision and the number of processes of a task, and who launched them."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from mal.config.fields import Task
from mal.errors import UserError
from mal.runtime.fsdp import ShardedStrategy
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


CPU_PROCESSES = "MAL_CPU_PROCESSES"

_TORCHRUN, _SLURM = "torchrun", "SLURM"
_PROCESSES_FLAG = {_TORCHRUN: "--nproc-per-node", _SLURM: "--ntasks-per-node"}
_NODES_FLAG = {_TORCHRUN: "--nnodes", _SLURM: "--nodes"}
_SHELLS = ("bash", "interactive")  # names of interactive SLURM jobs, as the trainer defines them too


@dataclass(frozen=True, slots=True)
class Launch:
    """How this process was launched.

    Attributes:
        launcher: ``torchrun`` or ``SLURM``; None if a user, or the trainer itself, started the process.
        rank: global rank, 0 for the first.
        per_node: processes that the launcher started on this machine; None if unknown.
        num_nodes: number of machines that the launcher uses.
    """

    launcher: str | None
    rank: int
    per_node: int | None = None
    num_nodes: int = 1

    def check_nodes(self, num_nodes: int, task: str) -> None:
        """Refuse a number of machines other than the launcher's.

        Args:
            num_nodes: the spec's value.
            task: section of the spec.

        Raises:
            UserError: the two disagree, no launcher started the other machines, or SLURM does not give the number
                of processes of each.
        """
        if self.launcher is not None and self.per_node is None:
            raise UserError(f"{self.launcher}: several tasks without {_PROCESSES_FLAG[self.launcher]}=N; give it that")
        if num_nodes == self.num_nodes:
            return
        if self.launcher is None:
            raise UserError(
                f"{task}.num_nodes: {num_nodes} machines need torchrun or SLURM to start this command on each of them"
                " (docs/training.md shows both); set it to 1 for this machine alone"
            )
        raise UserError(
            f"{task}.num_nodes: {num_nodes} in the spec, but {self.launcher} uses {self.num_nodes};"
            f" set it to {self.num_nodes}, or give {self.launcher} {_NODES_FLAG[self.launcher]}={num_nodes}"
        )

    def check_gpus(self, num_gpus: int, task: str) -> None:
        """Refuse a number of processes other than the number of GPUs to use.

        Raises:
            UserError: the launcher started more or fewer processes than the spec names GPUs.
        """
        if self.launcher is not None and self.per_node != num_gpus:
            flag = _PROCESSES_FLAG[self.launcher]
            raise UserError(
                f"{task}.gpu_ids: {num_gpus} GPUs on each machine, but {self.launcher} started {self.per_node}"
                f" processes there; start it with {flag}={num_gpus}, or name {self.per_node} GPUs in {task}.gpu_ids"
            )


def this_launch() -> Launch:
    """Read the launch of this process from the environment."""
    environment = os.environ
    if "TORCHELASTIC_RUN_ID" in environment:
        names = ("RANK", "LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE")
        return Launch(_TORCHRUN, *(int(environment[name]) for name in names))
    if "SLURM_NTASKS" in environment and environment.get("SLURM_JOB_NAME") not in _SHELLS:
        alone = "1" if environment["SLURM_NTASKS"] == "1" else None
        per_node = environment.get("SLURM_NTASKS_PER_NODE", alone)
        nodes = int(environment.get("SLURM_NNODES", 1))
        return Launch(_SLURM, int(environment["SLURM_PROCID"]), int(per_node) if per_node else None, nodes)
    return Launch(None, int(environment.get("LOCAL_RANK", 0)))


def cpu_processes(launch: Launch) -> int:
    """Processes on this machine where there is no GPU: the launcher's, else those of ``MAL_CPU_PROCESSES``, else 1.

    Raises:
        UserError: ``MAL_CPU_PROCESSES`` is no such number.
    """
    if launch.per_node is not None:
        return launch.per_node
    text = os.environ.get(CPU_PROCESSES, "1")
    if not text.isdecimal() or int(text) < 1:
        raise UserError(f"{CPU_PROCESSES}: {text!r} is not a number of processes; set it to 1 or more, or unset it")
    return int(text)


Precision = Literal["32-true", "bf16-mixed", "16-mixed"]


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
