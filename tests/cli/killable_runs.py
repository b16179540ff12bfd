"""Runs in processes that can be killed, and what is left of them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Mapping
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class RunStarter:
    """Starts runs quickly: each is forked from a process that has imported everything once."""

    def __init__(self) -> None:
        os.environ.update(_ENVIRONMENT)
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["mal.tasks.train", "mal.tasks.inference", __name__])

    def start(self, spec: Path, log: Path, task: str = "train") -> ForkServerProcess:
        """``mal <task> -e spec`` in a process group of its own; what it prints is added to ``log``."""
        process = self._context.Process(target=_run, args=(task, spec, log))
        process.start()
        return process


def _run(task: str, spec: Path, log: Path) -> None:
    os.setsid()
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    torch.set_num_threads(1)
    from mal.cli import main

    sys.exit(main([task, "-e", str(spec)]))


def kill(process: ForkServerProcess) -> None:
    """End a process as a power cut would."""
    _signal_if_alive(process, os.kill, signal.SIGKILL)


def terminate(process: ForkServerProcess) -> None:
    """Ask a process to stop, as a container runtime does."""
    _signal_if_alive(process, os.kill, signal.SIGTERM)


def interrupt_group(process: ForkServerProcess) -> None:
    """Press Ctrl-C: the loader's workers get it too."""
    _signal_if_alive(process, os.killpg, signal.SIGINT)


def terminate_group(process: ForkServerProcess) -> None:
    """Ask all processes of a job to stop, as SLURM does."""
    _signal_if_alive(process, os.killpg, signal.SIGTERM)


def kill_worker(process: ForkServerProcess) -> None:
    """End a loader's worker, as the kernel does when memory runs out."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for child in children:
        os.kill(int(child), signal.SIGKILL)


def _signal_if_alive(process: ForkServerProcess, send: Callable[[int, int], None], number: signal.Signals) -> None:
    assert process.pid is not None
    if process.is_alive():
        send(process.pid, number)


def training_state(checkpoint: Path) -> dict[str, Any]:
    """All that decides how a run goes on, by name; tensors as they are."""
    content = torch.load(checkpoint, weights_only=True)
    loops = content["loops"]["fit_loop"]
    kept = {name: content[name] for name in ("state_dict", "optimizer_states", "lr_schedulers", "global_step", "epoch")}
    kept["batches"] = {name: loops["epoch_loop.batch_progress"]["current"][name] for name in ("ready", "completed")}
    kept["logged_steps"] = loops["epoch_loop.state_dict"]["_batches_that_stepped"]
    return dict(_leaves(kept))


def _leaves(value: Any, name: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return [leaf for key, part in value.items() for leaf in _leaves(part, f"{name}/{key}")]
    if isinstance(value, list | tuple):
        return [leaf for index, part in enumerate(value) for leaf in _leaves(part, f"{name}/{index}")]
    return [(name, value)]


def assert_equal_states(left: Mapping[str, Any], right: Mapping[str, Any]) -> None:
    """Every tensor bit by bit, every number."""
    assert left.keys() == right.keys()
    for name, value in left.items():
        same = torch.equal(value, right[name]) if isinstance(value, torch.Tensor) else value == right[name]
        assert same, f"{name} differs"


def logged_curves(folder: Path) -> dict[str, dict[int, float]]:
    """Points of all curves in a TensorBoard folder, by name and step, each of them there once."""
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    curves = {tag: events.Scalars(tag) for tag in events.Tags()["scalars"]}
    for tag, points in curves.items():
        steps = [point.step for point in points]
        assert len(steps) == len(set(steps)), f"{tag} is there twice at a step: {steps}"
    return {tag: {point.step: point.value for point in points} for tag, points in curves.items()}
