from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mal.config.train_config import TrainConfig
from mal.errors import UserError
from mal.training.trial_run import (
    DiskNeed,
    StepClock,
    Trial,
    checkpoint_bytes,
    checkpoints_present,
    disk_need,
    num_files,
    num_validations,
)
from tests.small_networks import small_network
from tests.training.test_module import fit, module

pytestmark = pytest.mark.filterwarnings("ignore:.*module.*eval mode.*", "ignore:You defined a `validation_step`.*")


@pytest.mark.parametrize("model", [{}, {"frozen_stages": [0]}])
def test_the_size_of_a_checkpoint_is_that_of_the_file(tmp_path, model):
    trained = module(model=model, num_epochs=1)
    trainer = fit(trained, num_batches=1)
    trainer.save_checkpoint(tmp_path / "a.pth")
    assert checkpoint_bytes(trained.student) == pytest.approx((tmp_path / "a.pth").stat().st_size, rel=0.02)


@pytest.mark.parametrize(
    ("train", "files"),
    [
        ({"num_epochs": 10}, 10 + 1 + 2),
        ({"num_epochs": 10, "checkpoint_interval": 3}, 4 + 1 + 2),
        ({"num_epochs": 10, "keep_last_n": 2, "keep_best": 3}, 2 + 3 + 2),
        ({"num_epochs": 2, "keep_best": 3, "keep_last_n": 9}, 2 + 2 + 2),
        ({"num_epochs": 2, "checkpoint_interval": 30, "checkpoint_interval_unit": "step"}, 7 + 1 + 2),
    ],
)
def test_files_at_a_time_are_the_numbered_the_best_the_latest_and_one_in_the_making(train, files):
    assert num_files(TrainConfig.model_validate(train), steps_per_epoch=100) == files


@given(num_epochs=st.integers(1, 30), interval=st.integers(1, 12), from_epoch=st.integers(0, 30))
def test_validations_are_those_after_every_so_many_epochs_and_after_the_last(num_epochs, interval, from_epoch):
    train = TrainConfig(num_epochs=num_epochs, validation_interval=interval)
    from_epoch = min(from_epoch, num_epochs)
    epochs = range(from_epoch, num_epochs)
    expected = sum((epoch + 1) % interval == 0 or epoch + 1 == num_epochs for epoch in epochs)
    assert num_validations(train, from_epoch) == expected


def test_a_file_with_two_names_is_counted_once(tmp_path):
    (tmp_path / "model_epoch_000.pth").write_bytes(b"x" * 1000)
    os.link(tmp_path / "model_epoch_000.pth", tmp_path / "mal_model_latest.pth")
    assert checkpoints_present(tmp_path) == 1000


def test_files_that_are_there_need_no_room():
    assert DiskNeed(file_bytes=10, num_files=4, present_bytes=10, free_bytes=30).fits
    assert not DiskNeed(file_bytes=10, num_files=4, present_bytes=0, free_bytes=30).fits


def test_the_room_of_a_folder_that_is_not_there_is_that_above_it(tmp_path):
    need = disk_need(small_network(), TrainConfig(), 5, tmp_path / "not" / "there")
    assert need.free_bytes > 0
    assert need.present_bytes == 0


def trial(step: float, reading: float) -> Trial:
    return Trial(first_step=9.0, step=step, reading=reading, validation_box=None, peak_bytes=0)


@pytest.mark.parametrize(
    ("step", "reading", "readers", "expected"),
    [(1.0, 0.5, 0, 2.0), (1.0, 0.5, 1, 1.0), (1.0, 3.0, 2, 3.0), (1.0, 3.0, 8, 1.0)],
)
def test_reading_takes_its_time_before_a_step_or_beside_it(step, reading, readers, expected):
    assert trial(step, reading).seconds_per_step(readers=readers, batches_per_step=2) == expected


@pytest.mark.parametrize("accumulated", [1, 2])
def test_steps_are_timed_whole_however_many_batches_they_take(accumulated):
    clock = StepClock(lambda: None)
    fit(module(num_epochs=1), num_batches=4, callbacks=[clock], accumulate_grad_batches=accumulated)
    assert len(clock.steps) == 4 // accumulated
    assert all(seconds > 0 for seconds in clock.steps)


def test_a_loss_that_is_not_finite_is_a_mistake():
    trained = module(num_epochs=1)
    trained.student.roi_head.mlp1.weight.data.fill_(float("nan"))
    with pytest.raises(UserError, match="the loss of step 1 is nan"):
        fit(trained, callbacks=[StepClock(lambda: None)])
