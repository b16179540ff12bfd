from __future__ import annotations

import os
import signal
import stat
from types import SimpleNamespace

import pytest

from mal.errors import StoppedBySignal
from mal.training.stop_signals import StopSignals, requeue_job


@pytest.fixture
def signals(monkeypatch):
    """Handlers in place, and the old ones back afterwards."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    before = {number: signal.getsignal(number) for number in numbers}
    found = StopSignals()
    yield found
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def scontrol(tmp_path, monkeypatch):
    """A ``scontrol`` that writes down what it is asked."""
    asked = tmp_path / "asked.txt"
    script = tmp_path / "scontrol"
    script.write_text(f'#!/bin/sh\necho "$@" >> {asked}\n')
    script.chmod(script.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    return asked


def trainer(rank: int = 0):
    return SimpleNamespace(is_global_zero=rank == 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_remembered_and_nothing_else_happens(signals, number, capsys):
    signals.on_train_start(trainer(), None)
    os.kill(os.getpid(), number)
    assert signals.received == number
    assert "stopping after this step" in capsys.readouterr().out


def test_a_second_ctrl_c_stops_at_once(signals):
    signals.on_train_start(trainer(), None)
    os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)


def test_the_end_tells_the_signal_and_how_to_go_on(signals):
    signals.received = signal.SIGTERM
    with pytest.raises(StoppedBySignal, match="stopped by SIGTERM: step 7 is saved; the same command goes on") as stop:
        signals.stop(trainer(), "step 7 is saved")
    assert stop.value.number == signal.SIGTERM


@pytest.fixture
def slurm_job(monkeypatch):
    for name, value in {"SLURM_NTASKS": "1", "SLURM_JOB_NAME": "masks", "SLURM_JOB_ID": "41"}.items():
        monkeypatch.setenv(name, value)


def test_a_job_that_slurm_asks_to_stop_goes_back_into_the_queue(signals, slurm_job, scontrol):
    signals.on_train_start(trainer(), None)
    os.kill(os.getpid(), signal.SIGUSR1)
    with pytest.raises(StoppedBySignal):
        signals.stop(trainer(), "saved")
    assert scontrol.read_text() == "requeue 41\n"


def test_only_the_first_process_asks_for_the_queue(signals, slurm_job, scontrol):
    signals.on_train_start(trainer(rank=1), None)
    os.kill(os.getpid(), signal.SIGUSR1)
    with pytest.raises(StoppedBySignal):
        signals.stop(trainer(rank=1), "saved")
    assert not scontrol.exists()


def test_a_preempted_job_is_requeued_by_slurm_itself(signals, slurm_job, scontrol):
    signals.on_train_start(trainer(), None)
    os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(StoppedBySignal):
        signals.stop(trainer(), "saved")
    assert not scontrol.exists()


def test_a_task_of_a_job_array_is_requeued_by_its_own_number(monkeypatch, slurm_job, scontrol):
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "40")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    requeue_job()
    assert scontrol.read_text() == "requeue 40_3\n"


def test_a_queue_that_does_not_answer_is_told(monkeypatch, slurm_job, tmp_path, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    requeue_job()
    assert "SLURM did not requeue job 41" in capsys.readouterr().out
