"""One canary for each hook: when a release drops a private name, the test that is called after it fails."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import lightning.fabric.strategies.launchers.subprocess_script as fabric_launcher
import lightning.pytorch.strategies.launchers.subprocess_script as trainer_launcher
import pytest
import torch
from lightning import Callback
from torch import nn
from torch.utils.data import DataLoader
from torch.utils.tensorboard import SummaryWriter

from mal.runtime.lightning_internals import (
    batches_done_in_epoch,
    cpu_computes_bfloat16,
    epochs_and_batches_done,
    is_accumulating,
    is_batch_norm,
    is_event_writer,
    is_last_batch,
    lerp_all_,
    replace_child_observer,
    restart_validation_on_resume,
    shut_down_workers,
    was_interrupted,
    worker_processes,
)
from tests.training.one_weight import SaveAt, fit


class Record(Callback):
    """What a function says of the trainer after each batch."""

    def __init__(self, function) -> None:
        self.function, self.values = function, []

    def on_train_batch_end(self, trainer, *_):
        self.values.append(self.function(trainer))


def recorded(function, folder, **options) -> list:
    record = Record(function)
    fit(folder, record, epochs=1, **options)  # an epoch of three batches
    return record.values


def test_should_accumulate_tells_batches_without_an_optimizer_step(tmp_path):
    assert recorded(is_accumulating, tmp_path, accumulate_grad_batches=2) == [True, False, False]


def test_batch_progress_is_last_batch_is_true_at_the_end_of_an_epoch(tmp_path):
    assert recorded(is_last_batch, tmp_path) == [False, False, True]


def test_batch_progress_and_epoch_progress_count_within_an_epoch(tmp_path):
    assert recorded(batches_done_in_epoch, tmp_path) == [1, 2, 3]


def test_epoch_progress_is_level_with_the_epoch_between_two_epochs(tmp_path):
    assert batches_done_in_epoch(fit(tmp_path, epochs=1)) == 0


class CtrlC(Callback):
    """Ctrl-C within the first step."""

    def on_train_batch_start(self, trainer, *_):
        self.trainer = trainer
        signal.raise_signal(signal.SIGINT)


def test_trainer_interrupted_tells_ctrl_c_from_other_exits(tmp_path):
    ctrl_c = CtrlC()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever an earlier test has left
    with pytest.raises(SystemExit):
        fit(tmp_path, ctrl_c)
    signal.signal(signal.SIGINT, before)
    assert was_interrupted(ctrl_c.trainer)
    assert not was_interrupted(fit(tmp_path, epochs=1))


def checkpoint_of(folder, hook: str, count: int) -> dict:
    path = folder / f"{hook}.ckpt"
    fit(folder, SaveAt(hook, count, path))
    return torch.load(path, weights_only=True)


@pytest.mark.parametrize(
    ("hook", "count", "done"),
    [
        ("on_train_batch_end", 2, (0, 2)),
        ("on_validation_start", 1, (0, 3)),
        ("on_validation_batch_end", 1, (0, 3)),
        ("on_train_batch_end", 4, (1, 1)),
        ("on_fit_end", 1, (2, 0)),
    ],
)
def test_loops_of_a_checkpoint_hold_epoch_progress_and_batch_progress(tmp_path, hook, count, done):
    assert epochs_and_batches_done(checkpoint_of(tmp_path, hook, count)) == done


class CountValidations(Callback):
    """How many batches were validated."""

    count = 0

    def on_validation_batch_end(self, *_):
        self.count += 1


def test_val_loop_batch_progress_of_a_checkpoint_decides_whether_validation_is_repeated(tmp_path):
    checkpoint = checkpoint_of(tmp_path, "on_validation_batch_end", 1)
    restart_validation_on_resume(checkpoint)
    torch.save(checkpoint, tmp_path / "changed.ckpt")
    counted = CountValidations()
    fit(tmp_path, counted, resume_from=tmp_path / "changed.ckpt")
    assert counted.count == 2  # that of the first epoch again, and that of the second


@pytest.mark.parametrize(
    "launch",
    [fabric_launcher._SubprocessScriptLauncher.launch, trainer_launcher._SubprocessScriptLauncher.launch],
    ids=["fabric", "trainer"],
)
def test_launch_process_observer_is_what_lightning_calls_after_starting_processes(launch, monkeypatch):
    monkeypatch.setattr(fabric_launcher, "_launch_process_observer", fabric_launcher._launch_process_observer)
    monkeypatch.setattr(trainer_launcher, "_launch_process_observer", trainer_launcher._launch_process_observer)

    def observe(children):
        raise AssertionError("not called here")

    replace_child_observer(observe)
    assert "_launch_process_observer" in launch.__code__.co_names
    assert launch.__globals__["_launch_process_observer"] is observe


def test_iterator_workers_and_shutdown_workers_reach_the_processes_of_a_data_loader():
    loader = DataLoader(range(4), num_workers=2, persistent_workers=True)
    assert worker_processes(loader) == []
    assert len(list(loader)) == 4
    workers = worker_processes(loader)
    assert [worker.is_alive() for worker in workers] == [True, True]
    shut_down_workers(loader)
    assert not any(worker.is_alive() for worker in workers)
    assert worker_processes(loader) == []


def test_iterator_of_a_data_loader_without_workers_has_no_processes():
    loader = DataLoader(range(4))
    list(loader)
    assert worker_processes(loader) == []


def test_async_writer_thread_is_the_class_of_tensorboards_writer(tmp_path):
    before = set(threading.enumerate())
    with SummaryWriter(tmp_path) as writer:
        writer.add_scalar("a", 1.0)
        assert [is_event_writer(thread) for thread in set(threading.enumerate()) - before] == [True]
    assert not is_event_writer(threading.main_thread())
    assert not is_event_writer(None)


def test_is_avx512_bf16_supported_and_is_amx_tile_supported_answer():
    assert torch.cpu._is_avx512_bf16_supported() in (True, False)
    assert torch.cpu._is_amx_tile_supported() in (True, False)
    assert cpu_computes_bfloat16() in (True, False)


def test_foreach_lerp_moves_tensors_in_place():
    starts = [torch.zeros(2), torch.ones(1, 3)]
    lerp_all_(starts, [torch.ones(2), torch.full((1, 3), 5.0)], 0.25)
    assert torch.equal(starts[0], torch.full((2,), 0.25))
    assert torch.equal(starts[1], torch.full((1, 3), 2.0))


@pytest.mark.parametrize("norm", [nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm])
def test_batch_norm_is_the_base_of_all_batch_norms(norm):
    assert is_batch_norm(norm(4))
    assert not is_batch_norm(nn.LayerNorm(4))


def test_timm_is_imported_without_the_compiler_which_works_where_it_is_loaded_later():
    code = """
import sys
import mal.models.backbones.timm_backbone as ours
assert "torch._dynamo" not in sys.modules and "torch._dynamo.utils" not in sys.modules
ours.TimmPyramid("tf_efficientnet_lite0")
assert "torch._dynamo" not in sys.modules
import torch._dynamo.utils
roi_align = sys.modules["torchvision.ops.roi_align"]
assert roi_align.is_compile_supported("cpu") == torch._dynamo.utils.is_compile_supported("cpu")
assert torch.compiler.disable(len)([1]) == 1
"""
    subprocess.run([sys.executable, "-c", code], check=True)
