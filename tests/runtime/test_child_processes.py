from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import lightning.pytorch.strategies.launchers.subprocess_script as trainer_launcher
import pytest

from mal.runtime import child_processes
from mal.runtime.child_processes import end_together, is_lost_process_error
from tests.cli.launched import Launcher


@pytest.fixture(scope="module")
def launcher(tmp_path_factory):
    return Launcher(tmp_path_factory.mktemp("launched"))


def waits_for_a_child_that_exits(code: int) -> None:
    child_processes.SECONDS_TO_NOTICE = child_processes.SECONDS_BETWEEN_LOOKS = 0.1
    end_together()
    child = subprocess.Popen([sys.executable, "-S", "-c", f"import sys; sys.exit({code})"])
    trainer_launcher._launch_process_observer([child])
    time.sleep(60 if code else 1)  # a failure ends this process long before


@pytest.mark.slow
@pytest.mark.parametrize(("child_code", "exit_code"), [(0, 0), (3, 1)])
def test_a_process_that_waits_for_a_failed_child_ends_with_exit_code_1(launcher, child_code, exit_code):
    (outcome,) = launcher.call(waits_for_a_child_that_exits, child_code, world=1)
    assert outcome.exit_code == exit_code


def leaves_a_child_behind(told: Path) -> None:
    if os.fork():
        while not told.exists():
            time.sleep(0.05)
        return
    os.environ["LOCAL_RANK"] = "1"
    end_together()
    told.write_text(str(os.getpid()))
    time.sleep(60)


@pytest.mark.slow
def test_a_child_ends_with_the_process_that_started_it(launcher, tmp_path):
    told = tmp_path / "pid"
    (outcome,) = launcher.call(leaves_a_child_behind, told, world=1)
    assert outcome.exit_code == 0
    for _ in range(600):
        if told.exists() and told.read_text() and not is_alive(int(told.read_text())):
            return
        time.sleep(0.1)
    raise AssertionError("the child still lives")


def is_alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def test_the_loss_of_another_process_is_told_from_other_errors():
    assert is_lost_process_error(RuntimeError("[pair.cc:558] Connection closed by peer [127.0.0.1]:9876"))
    assert not is_lost_process_error(RuntimeError("CUDA out of memory"))
