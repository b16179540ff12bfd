from __future__ import annotations

import multiprocessing
import os
import signal
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from mal.errors import UserError
from mal.labelling.run_lock import only_run_in


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
