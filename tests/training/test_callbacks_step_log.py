from __future__ import annotations

from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mal.training import callbacks
from mal.training.callbacks import StepLog
from mal.training.loggers import TensorBoardLog
from tests.training.one_weight import SaveAt, fit

pytestmark = pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint.*")


def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0}).Reload()
    return {tag: [(point.step, point.value) for point in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_figures_are_logged_every_so_many_steps_from_the_first(tmp_path, monkeypatch):
    monkeypatch.setattr(callbacks, "STEPS_BETWEEN_FIGURES", 2)
    fit(tmp_path, StepLog(), logger=TensorBoardLog(tmp_path, 0))
    assert curves(tmp_path).keys() == {"train/loss", "train/lr", "val/mIoU", "epoch"}
    assert [step for step, _ in curves(tmp_path)["train/loss"]] == [0, 2, 4]
    assert [step for step, _ in curves(tmp_path)["val/mIoU"]] == [2, 5]


def test_a_step_of_several_batches_is_logged_once(tmp_path, monkeypatch):
    monkeypatch.setattr(callbacks, "STEPS_BETWEEN_FIGURES", 1)
    fit(tmp_path, StepLog(), logger=TensorBoardLog(tmp_path, 0), accumulate_grad_batches=2)
    assert [step for step, _ in curves(tmp_path)["train/loss"]] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("hook", "count", "steps"),
    [("on_train_batch_end", 1, 1), ("on_train_epoch_end", 1, 3), ("on_train_batch_end", 5, 5)],
)
def test_the_curves_of_a_resumed_run_are_those_of_one_that_was_never_stopped(tmp_path, monkeypatch, hook, count, steps):
    monkeypatch.setattr(callbacks, "STEPS_BETWEEN_FIGURES", 1)
    state = tmp_path / "state.ckpt"
    fit(tmp_path, StepLog(), SaveAt(hook, count, state), logger=TensorBoardLog(tmp_path, 0))
    fit(tmp_path, StepLog(), logger=TensorBoardLog(tmp_path, steps), resume_from=state)
    resumed = curves(tmp_path)["train/loss"], curves(tmp_path)["val/mIoU"]
    assert [[step for step, _ in curve] for curve in resumed] == [[0, 1, 2, 3, 4, 5], [2, 5]]
