"""The choice of `mal auto` beside the truth."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from benchmarks import auto_choice
from benchmarks.auto_choice import Row, rows, table
from benchmarks.quality_cells import Boxes, Cell, CellKey
from mal.auto.choose import Signals
from mal.files import write_json


def signals(value: float) -> Signals:
    return Signals(value, value, value, value, value)


def row(*, gain: float, signal: float) -> Row:
    return Row("nuts", 0, 50, signals(0.5), signals(0.5 + signal), (0.7, 0.7 + gain))


@pytest.mark.parametrize(
    ("gain", "signal", "loss"), [(0.1, 0.2, 0), (0.1, 0, 0.1), (-0.1, 0.2, 0.1), (-0.1, -0.2, 0), (0, 0.2, 0)]
)
def test_a_choice_loses_what_the_other_network_is_better_by(gain, signal, loss):
    assert row(gain=gain, signal=signal).loss == pytest.approx(loss)


def test_the_table_counts_right_choices_and_says_what_the_others_lose():
    *_, last = table([row(gain=0.1, signal=0.2), row(gain=-0.04, signal=0.2)])
    assert last == "1 of 2 choices are right; the others lose 0.040 on average, at most 0.040."


def test_only_finished_trainings_have_a_row(tmp_path, monkeypatch):
    for column, iou in (("starter", 0.7), ("tuned", 0.8)):
        boxes = Boxes.of_lines([("1", "1", "nut", 9.0, iou, iou)])
        Cell(CellKey("nuts", column, 0), [], "1.0", 1.0, 9, 2.0, boxes).write(tmp_path)
    for name, value in (("starter", 0.5), ("0", 0.6)):
        (tmp_path / "signals").mkdir(exist_ok=True)
        write_json(asdict(signals(value)), tmp_path / f"signals/nuts-{name}.json")
    monkeypatch.setattr(auto_choice, "measure_signals", None)  # those of a file are not measured again
    (found,) = rows(tmp_path, tmp_path, ["nuts", "balloon"], [0, 1])
    assert found.iou == pytest.approx((0.7, 0.8))
    assert found.tuned == signals(0.6)
