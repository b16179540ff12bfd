from __future__ import annotations

import multiprocessing
import os
import signal
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from mal.errors import UserError
from mal.labeling.run_lock import only_run_in


def hold(folder: Path, holding: Event) -> None:
    with only_run_in(folder):
        holding.set()
        signal.pause()


def test_a_second_process_is_refused_until_the_first_is_dead(tmp_path):
    context = multiprocessing.get_context("fork")
    holding = context.Event()
    process = context.Process(target=hold, args=(tmp_path / "shards", holding))
    process.start()
    assert holding.wait(60)
    with pytest.raises(UserError, match="another process is labelling there"), only_run_in(tmp_path / "shards"):
        pass
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    with only_run_in(tmp_path / "shards"):
        pass
    assert not (tmp_path / "shards").exists()


def test_what_else_is_in_the_folder_stays(tmp_path):
    (tmp_path / "run.json").touch()
    with only_run_in(tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def take_turns(folder: Path, busy: Path, rounds: int, start: Event) -> None:
    start.wait()
    while rounds:
        try:
            with only_run_in(folder):
                handle = os.open(busy, os.O_CREAT | os.O_EXCL)  # fails where another process is at work
                os.close(handle)
                busy.unlink()
            rounds -= 1
        except UserError:
            pass


def test_processes_that_come_and_go_are_never_at_work_together(tmp_path):
    context = multiprocessing.get_context("fork")
    start = context.Event()
    arguments = (tmp_path / "shards", tmp_path / "busy", 30, start)
    processes = [context.Process(target=take_turns, args=arguments) for _ in range(3)]
    for process in processes:
        process.start()
    start.set()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0, 0]


def test_a_child_that_outlives_its_parent_does_not_keep_the_folder(tmp_path):
    """Loader processes are forks that may live on for a moment after a kill."""

    def hold_with_a_child(pids) -> None:
        with only_run_in(tmp_path / "shards"):
            child = os.fork()
            if child:
                pids.put(child)
            signal.pause()

    context = multiprocessing.get_context("fork")
    pids = context.SimpleQueue()
    process = context.Process(target=hold_with_a_child, args=(pids,))
    process.start()
    child = pids.get()
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    try:
        with only_run_in(tmp_path / "shards"):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
