from __future__ import annotations

import pytest
import torch

from mal.errors import UserError
from mal.runtime.devices import choose_precision, plan_devices
from mal.runtime.fsdp import ShardedStrategy


def plan(**changes):
    return plan_devices(**({"gpu_ids": [0], "num_nodes": 1, "strategy": "ddp", "use_amp": False} | changes))


@pytest.fixture
def without_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "Test GPU")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)


def started_by_torchrun(monkeypatch, *, per_node: int, nodes: int = 1, rank: int = 0):
    for name, value in {
        "TORCHELASTIC_RUN_ID": "none",
        "RANK": rank,
        "LOCAL_WORLD_SIZE": per_node,
        "GROUP_WORLD_SIZE": nodes,
    }.items():
        monkeypatch.setenv(name, str(value))


def test_without_a_gpu_the_same_spec_runs_on_the_cpu_and_says_so(without_gpu):
    found = plan(gpu_ids=[0, 1, 2], strategy="fsdp")
    assert (found.accelerator, found.devices, found.world_size, found.strategy) == ("cpu", 1, 1, "auto")
    assert "no CUDA device here" in found.summary


def test_apple_s_gpu_goes_before_the_cpu_for_one_process(without_gpu, monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert plan().accelerator == "mps"
    monkeypatch.setenv("MAL_CPU_PROCESSES", "2")
    assert plan().accelerator == "cpu"


def test_the_gpus_of_the_spec_are_used(two_gpus):
    found = plan(gpu_ids=[1])
    assert (found.accelerator, found.devices, found.world_size) == ("gpu", [1], 1)
    assert "1 x Test GPU" in found.summary


def test_several_gpus_share_the_work_as_the_strategy_says(two_gpus):
    by_ddp, by_fsdp = plan(gpu_ids=[0, 1]), plan(gpu_ids=[0, 1], strategy="fsdp")
    assert by_ddp.world_size == by_fsdp.world_size == 2
    assert by_ddp.trainer_arguments()["strategy"] == "ddp"
    assert isinstance(by_fsdp.trainer_arguments()["strategy"], ShardedStrategy)
    assert "fsdp over 2 processes" in by_fsdp.summary


def test_several_machines_count_all_their_gpus(two_gpus, monkeypatch):
    started_by_torchrun(monkeypatch, per_node=2, nodes=4, rank=7)
    found = plan(gpu_ids=[0, 1], num_nodes=4)
    assert found.world_size == 8
    assert found.trainer_arguments()["num_nodes"] == 4
    assert "on each of 4 machines" in found.summary


def test_a_gpu_that_is_not_there_is_named(two_gpus):
    with pytest.raises(UserError, match=r"train.gpu_ids: \[2, 5\] asked for, but this machine has GPUs 0 to 1"):
        plan(gpu_ids=[0, 2, 5])


def test_a_launcher_with_more_processes_than_gpus_is_told_both_ways_out(two_gpus, monkeypatch):
    started_by_torchrun(monkeypatch, per_node=2)
    with pytest.raises(UserError, match=r"evaluate.gpu_ids: 1 GPUs .* --nproc-per-node=1, or name 2 GPUs in evaluate"):
        plan(gpu_ids=[0], task="evaluate")


@pytest.mark.parametrize(("has_bf16", "precision"), [(True, "bf16-mixed"), (False, "16-mixed")])
def test_a_gpu_computes_in_the_half_precision_that_it_has(two_gpus, monkeypatch, has_bf16, precision):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: has_bf16)
    assert plan(use_amp=True).precision == precision
    assert plan(use_amp=False).precision == "32-true"


def test_shards_take_single_precision_where_half_would_need_scaled_losses(two_gpus, monkeypatch):
    assert plan(gpu_ids=[0, 1], strategy="fsdp", use_amp=True).precision == "bf16-mixed"
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: False)
    assert plan(gpu_ids=[0, 1], strategy="fsdp", use_amp=True).precision == "32-true"


@pytest.mark.parametrize(("is_fast", "precision"), [(True, "bf16-mixed"), (False, "32-true")])
def test_a_cpu_computes_in_half_precision_only_where_that_is_faster(monkeypatch, is_fast, precision):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: is_fast)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert choose_precision("cpu") == precision


def test_mps_computes_in_single_precision():
    assert choose_precision("mps") == "32-true"
