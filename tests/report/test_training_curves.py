from __future__ import annotations

import json

import pytest

from mal.errors import UserError
from mal.report.training_curves import POINTS_SHOWN, training_curves
from mal.training.tensorboard_log import TensorBoardLog


def logged(folder, steps_done, values):
    log = TensorBoardLog(folder, steps_done=steps_done)
    for step, value in values:
        log.log_metrics({"train/loss": value}, step)
    log.finalize("success")


def test_a_resumed_run_is_one_curve_without_what_it_did_twice(tmp_path):
    logged(tmp_path, 0, [(0, 4.0), (1, 3.0), (2, 9.0)])
    logged(tmp_path, 2, [(2, 2.0), (3, 1.0)])
    curves = training_curves(tmp_path)
    assert curves.unit == "step"
    assert curves.values["train/loss"] == [(1, 4.0), (2, 3.0), (3, 2.0), (4, 1.0)]


def test_without_event_files_the_epochs_of_the_status_file_are_taken(tmp_path):
    lines = [
        {"message": "train started"},
        {"message": "epoch 1 done", "metrics": {"train/loss": 2.0, "val/mIoU": None}},
        {"message": "epoch 2 done", "metrics": {"train/loss": 1.0}},
    ]
    (tmp_path / "status.json").write_text("\n".join(map(json.dumps, lines)) + '\n{"mess')
    curves = training_curves(tmp_path)
    assert (curves.unit, curves.values) == ("epoch", {"train/loss": [(1, 2.0), (2, 1.0)]})


def test_long_curves_are_thinned_to_what_a_chart_can_show(tmp_path):
    lines = [{"message": f"epoch {n} done", "metrics": {"x": float(n)}} for n in range(1, 2001)]
    (tmp_path / "status.json").write_text("\n".join(map(json.dumps, lines)))
    points = training_curves(tmp_path).values["x"]
    assert len(points) <= POINTS_SHOWN
    assert points[-1][0] == 2000


def test_a_folder_without_curves_is_one_clear_line(tmp_path):
    with pytest.raises(UserError, match="holds no curves"):
        training_curves(tmp_path)
