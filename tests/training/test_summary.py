from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from mal.runtime.status import StatusLog
from mal.training.summary import TrainingSummary, peak_bytes
from tests.cli.small_runs import status_lines


@pytest.fixture
def summary(tmp_path) -> TrainingSummary:
    """Of a run of three epochs, the second the best."""
    made = TrainingSummary(tmp_path, StatusLog(tmp_path))
    made.seconds, made.validation_seconds, made.boxes = 100.0, 20.0, 400
    for epoch, miou in enumerate((0.25, 0.75, 0.5)):
        made.scores[epoch] = {"val/mIoU": miou, "val/mIoU_instances": miou / 2}
    (tmp_path / "model_best.pth").touch()
    return made


def test_a_person_reads_time_rate_memory_scores_and_places(summary, tmp_path):
    assert summary.lines(3 * 2**29, "on the first GPU") == [
        "time         1:40, 0:20 of it in validations",
        "rate         5.0 boxes/s",
        "peak memory  1.50 GiB on the first GPU",
        "best mIoU    0.7500 over classes, 0.3750 over boxes (epoch 2)",
        "last mIoU    0.5000 over classes, 0.2500 over boxes (epoch 3)",
        f"best model   {tmp_path / 'model_best.pth'}",
    ]


def test_a_program_reads_the_same_figures(summary, tmp_path):
    assert summary.figures(1000) == {
        "seconds": 100.0,
        "validation_seconds": 20.0,
        "boxes_per_second": 5.0,
        "peak_memory_bytes": 1000,
        "best_epoch": 1,
        "best/val/mIoU": 0.75,
        "best/val/mIoU_instances": 0.375,
        "last/val/mIoU": 0.5,
        "last/val/mIoU_instances": 0.25,
        "file/best_model": str(tmp_path / "model_best.pth"),
    }


def test_a_run_without_validation_has_no_scores(tmp_path):
    summary = TrainingSummary(tmp_path, StatusLog(tmp_path))
    assert summary.best_epoch is None
    assert [line.split()[0] for line in summary.lines(None, "")] == ["time", "rate"]


def test_the_first_of_equal_scores_is_the_best(summary):
    summary.scores[2] = dict(summary.scores[1])
    assert summary.best_epoch == 1


def test_scores_of_earlier_starts_are_kept(summary, tmp_path):
    resumed = TrainingSummary(tmp_path, StatusLog(tmp_path))
    resumed.load_state_dict(summary.state_dict())
    assert resumed.best_epoch == 1
    assert resumed.seconds == 0.0


def test_the_end_of_a_run_is_told_by_the_first_process_alone(summary, tmp_path, capsys):
    for is_global_zero in (False, True):
        strategy = SimpleNamespace(root_device=torch.device("cpu"))
        summary.on_fit_end(SimpleNamespace(is_global_zero=is_global_zero, strategy=strategy), None)
    assert capsys.readouterr().out.count("best mIoU") == 1
    (entry,) = status_lines(tmp_path / "status.json")
    assert entry["message"] == "summary"
    assert entry["metrics"]["best_epoch"] == 1


def test_validations_count_apart(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("mal.training.summary.time", SimpleNamespace(monotonic=lambda: now[0]))
    summary = TrainingSummary(tmp_path, StatusLog(tmp_path))
    trainer = SimpleNamespace(
        world_size=2, current_epoch=0, callback_metrics={"val/mIoU": torch.tensor(0.5), "train/loss": torch.tensor(1.0)}
    )
    summary.on_train_start(trainer, None)
    now[0] = 10.0
    summary.on_train_batch_end(trainer, None, None, [0] * 20, 0)
    summary.on_validation_start(trainer, None)
    now[0] = 15.0
    summary.on_validation_end(trainer, None)
    summary.on_train_end(trainer, None)
    assert (summary.seconds, summary.validation_seconds, summary.boxes_per_second) == (15.0, 5.0, 4.0)
    assert summary.scores == {0: {"val/mIoU": 0.5}}


def test_this_process_holds_some_memory():
    assert 2**20 < peak_bytes(torch.device("cpu")) < 2**50
