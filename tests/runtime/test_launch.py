from __future__ import annotations

import pytest
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment

from mal.errors import UserError
from mal.runtime.launch import Launch, cpu_processes, this_launch

SLURM = {
    "SLURM_JOB_ID": "4711",
    "SLURM_JOB_NAME": "mal",
    "SLURM_NTASKS": "8",
    "SLURM_NTASKS_PER_NODE": "4",
    "SLURM_NNODES": "2",
    "SLURM_PROCID": "5",
    "SLURM_LOCALID": "1",
    "SLURM_NODEID": "1",
    "SLURM_NODELIST": "node[07-08]",
}


@pytest.fixture
def slurm(monkeypatch):
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    for name in ("MASTER_ADDR", "MASTER_PORT"):  # the trainer sets them when asked: taken back after the test
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def test_a_process_that_a_person_started_is_the_first_of_its_run():
    assert this_launch() == Launch(None, 0)


def test_a_process_that_the_trainer_started_knows_its_rank(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert this_launch() == Launch(None, 1)


def test_slurm_says_rank_processes_and_machines(slurm):
    assert this_launch() == Launch("SLURM", 5, 4, 2)


def test_the_trainer_reads_the_same_from_slurm(slurm):
    environment = SLURMEnvironment()
    assert SLURMEnvironment.detect()
    assert environment.global_rank() == this_launch().rank
    assert (environment.world_size(), environment.local_rank(), environment.node_rank()) == (8, 1, 1)
    assert environment.main_address == "node07"
    environment.validate_settings(num_devices=4, num_nodes=2)


def test_torchrun_goes_before_the_slurm_job_that_it_runs_in(slurm, monkeypatch):
    for name, value in {"TORCHELASTIC_RUN_ID": "x", "RANK": "3", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GROUP_WORLD_SIZE", "2")
    assert this_launch() == Launch("torchrun", 3, 2, 2)


def test_a_shell_within_slurm_starts_processes_of_its_own(slurm, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_NAME", "interactive")
    assert this_launch().launcher is None


def test_slurm_tasks_that_are_not_counted_by_machine_are_refused(slurm, monkeypatch):
    monkeypatch.delenv("SLURM_NTASKS_PER_NODE")
    with pytest.raises(UserError, match="SLURM: several tasks without --ntasks-per-node=N"):
        this_launch().check_nodes(2, "train")


def test_machines_that_nothing_has_started_are_an_error_rather_than_a_long_wait():
    with pytest.raises(UserError, match=r"train.num_nodes: 2 machines need torchrun or SLURM"):
        Launch(None, 0).check_nodes(2, "train")


def test_another_number_of_machines_than_the_launcher_s_is_an_error():
    with pytest.raises(UserError, match=r"inference.num_nodes: 1 in the spec, but SLURM uses 4; .* SLURM --nodes=1"):
        Launch("SLURM", 0, 8, 4).check_nodes(1, "inference")


def test_another_number_of_processes_than_of_gpus_is_an_error():
    with pytest.raises(UserError, match=r"8 GPUs .* started 1 processes there; start it with --ntasks-per-node=8"):
        Launch("SLURM", 0, 1).check_gpus(8, "train")


def test_the_launcher_s_processes_go_before_those_of_the_environment(monkeypatch):
    monkeypatch.setenv("MAL_CPU_PROCESSES", "3")
    assert cpu_processes(Launch("torchrun", 0, 2)) == 2
    assert cpu_processes(Launch(None, 0)) == 3


@pytest.mark.parametrize("text", ["0", "two", "-1", ""])
def test_a_number_of_cpu_processes_that_is_none_is_named(monkeypatch, text):
    monkeypatch.setenv("MAL_CPU_PROCESSES", text)
    with pytest.raises(UserError, match="MAL_CPU_PROCESSES"):
        cpu_processes(Launch(None, 0))
