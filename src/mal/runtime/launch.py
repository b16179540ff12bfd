"""Who launched this process: a user, torchrun or SLURM. Imports nothing heavy, so that errors are shown at once."""

from __future__ import annotations

import os
from dataclasses import dataclass

from mal.errors import UserError

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
