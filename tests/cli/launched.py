"""Commands and functions that run in several processes at once, as torchrun or SLURM would start them."""

from __future__ import annotations

import multiprocessing
import os
import socket
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, Literal

import torch

SECONDS_FOR_ALL = 600.0


@dataclass(frozen=True)
class RankOutcome:
    """What one process left; ``exit_code`` is negative where a signal ended it, as when it hung for too long."""

    exit_code: int
    out: str
    err: str


@dataclass(frozen=True)
class Started:
    """Processes at work; the one of rank r writes ``r.out`` and ``r.err`` in ``folder``."""

    processes: list[ForkServerProcess]
    folder: Path

    def wait(self) -> list[RankOutcome]:
        """What they left, by rank."""
        deadline = time.monotonic() + SECONDS_FOR_ALL
        for process in self.processes:
            process.join(max(0.0, deadline - time.monotonic()))
        for process in self.processes:
            process.kill()
            process.join()
        return [self._outcome(rank) for rank in range(len(self.processes))]

    def _outcome(self, rank: int) -> RankOutcome:
        exit_code = self.processes[rank].exitcode
        assert exit_code is not None
        return RankOutcome(exit_code, *((self.folder / f"{rank}.{name}").read_text() for name in ("out", "err")))


class Launcher:
    """Starts processes quickly: each is forked from one that has imported everything once.

    Args:
        folder: for what the processes print.
    """

    def __init__(self, folder: Path) -> None:
        os.environ["OMP_NUM_THREADS"] = "1"
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["mal.tasks.train", "mal.tasks.evaluate", "mal.tasks.inference", __name__])
        self._folders = (folder / f"run_{number}" for number in count())

    def mal(
        self, *arguments: str | Path, world: int = 2, started_by: Literal["torchrun", "slurm"] = "torchrun"
    ) -> list[RankOutcome]:
        """The command ``mal ...`` in ``world`` processes; a single one is started as a person does it."""
        return self.call(run_mal, [str(each) for each in arguments], world=world, started_by=started_by)

    def call(
        self,
        function: Callable[..., None],
        *arguments: Any,
        world: int = 2,
        started_by: Literal["torchrun", "slurm"] = "torchrun",
    ) -> list[RankOutcome]:
        """A function in ``world`` processes; an exception in it is exit code 1."""
        return self.start(function, *arguments, world=world, started_by=started_by).wait()

    def start(
        self,
        function: Callable[..., None],
        *arguments: Any,
        world: int = 2,
        started_by: Literal["torchrun", "slurm"] = "torchrun",
    ) -> Started:
        """As `call`, but without waiting."""
        folder = next(self._folders)
        folder.mkdir(parents=True)
        port = _free_port()
        environment = {"torchrun": _torchrun, "slurm": _slurm}[started_by]
        ranks = [
            self._context.Process(
                target=_run,
                args=(folder / str(rank), environment(rank, world, port) if world > 1 else {}, function, arguments),
            )
            for rank in range(world)
        ]
        for process in ranks:
            process.start()
        return Started(ranks, folder)


def _run(prefix: Path, environment: Mapping[str, str], function: Callable[..., None], arguments: Any) -> None:
    os.environ.update(environment)
    for number, suffix in ((1, ".out"), (2, ".err")):
        os.dup2(os.open(prefix.with_suffix(suffix), os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    torch.set_num_threads(1)
    function(*arguments)


def run_mal(arguments: list[str]) -> None:
    """The command ``mal ...`` in this process; every step's figures are logged."""
    from mal.cli import main
    from mal.training import callbacks

    callbacks.STEPS_BETWEEN_FIGURES = 1
    sys.exit(main(arguments))


def _torchrun(rank: int, world: int, port: int) -> dict[str, str]:
    values = {
        "TORCHELASTIC_RUN_ID": "none",
        "RANK": rank,
        "LOCAL_RANK": rank,
        "GROUP_RANK": 0,
        "WORLD_SIZE": world,
        "LOCAL_WORLD_SIZE": world,
        "GROUP_WORLD_SIZE": 1,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
    }
    return {name: str(value) for name, value in values.items()}


def _slurm(rank: int, world: int, port: int) -> dict[str, str]:
    values = {
        "SLURM_JOB_ID": 4711,
        "SLURM_JOB_NAME": "mal",
        "SLURM_NTASKS": world,
        "SLURM_NTASKS_PER_NODE": world,
        "SLURM_NNODES": 1,
        "SLURM_PROCID": rank,
        "SLURM_LOCALID": rank,
        "SLURM_NODEID": 0,
        "SLURM_NODELIST": "127.0.0.1",
        "MASTER_PORT": port,
    }
    return {name: str(value) for name, value in values.items()}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
