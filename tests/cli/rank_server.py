"""Commands run by several processes, as torchrun would start them, without the seconds that each start takes.

``python -m tests.cli.rank_server`` imports everything once and then forks the processes of each command that it is
told; `RankServer` is what a test talks to.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SECONDS_FOR_A_COMMAND = 120.0
SECONDS_AFTER_A_FAILURE = 20.0


@dataclass(frozen=True)
class RankOutcome:
    """What one process of a command left; ``exit_code`` is negative where a signal ended it."""

    exit_code: int
    out: str
    err: str


class RankServer:
    """Starts the server; ends it on `close`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._count = 0
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.cli.rank_server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            text=True,
        )

    def run(self, *arguments: str | Path, world: int = 2, env: Mapping[str, str] | None = None) -> list[RankOutcome]:
        """The command ``mal ...`` in ``world`` processes; one process is started as a person does it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._count += 1
        folder = self.folder / f"command_{self._count}"
        folder.mkdir(parents=True)
        request = {"argv": [str(each) for each in arguments], "world": world, "env": dict(env or {})}
        self._process.stdin.write(json.dumps({**request, "folder": str(folder)}) + "\n")
        self._process.stdin.flush()
        exit_codes = json.loads(self._process.stdout.readline())
        return [
            RankOutcome(code, (folder / f"{rank}.out").read_text(), (folder / f"{rank}.err").read_text())
            for rank, code in enumerate(exit_codes)
        ]

    def close(self) -> None:
        """End the server."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)


def main() -> None:
    """Answer requests until there are no more."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    _import_everything()
    for line in sys.stdin:
        answers.write(json.dumps(_run(json.loads(line))) + "\n")
        answers.flush()


def _import_everything() -> None:
    import tensorboard.summary.writer.event_file_writer
    import torch
    import torchmetrics.clustering

    import mal.tasks.evaluate
    import mal.tasks.inference
    import mal.tasks.train

    torch.set_num_threads(1)
    assert tensorboard.summary.writer.event_file_writer
    assert torchmetrics.clustering
    assert mal.tasks


def _run(request: dict[str, Any]) -> list[int]:
    port = _free_port()
    pids = [_fork(request, rank, port) for rank in range(request["world"])]
    codes: dict[int, int] = {}
    deadline = time.monotonic() + SECONDS_FOR_A_COMMAND
    while len(codes) < len(pids):
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid in pids:
            codes[pid] = os.waitstatus_to_exitcode(status)
            if codes[pid]:
                deadline = min(deadline, time.monotonic() + SECONDS_AFTER_A_FAILURE)
        elif time.monotonic() > deadline:
            for each in set(pids) - set(codes):
                os.kill(each, signal.SIGKILL)
            deadline += 5
        else:
            time.sleep(0.02)
    return [codes[pid] for pid in pids]


def _fork(request: dict[str, Any], rank: int, port: int) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 99
    try:
        for number, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(f"{request['folder']}/{rank}.{name}", os.O_WRONLY | os.O_CREAT), number)
        os.environ.update(request["env"])
        if request["world"] > 1:
            os.environ.update(_as_torchrun(rank, request["world"], port))
        code = _mal(request["argv"])
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _mal(argv: Sequence[str]) -> int:
    from mal.cli import main as mal

    sys.argv = ["mal", *argv]
    return mal(argv)


def _as_torchrun(rank: int, world: int, port: int) -> dict[str, str]:
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


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
