from __future__ import annotations

import json

from mal.runtime.status import StatusLog


def test_each_entry_is_a_line_of_strict_json(tmp_path):
    log = StatusLog(tmp_path / "results")
    log.write("größe\nzwei")
    log.write("loss", {"train/loss": float("nan"), "step": 3}, level="warning")
    first, second = (json.loads(line) for line in (tmp_path / "results/status.json").read_text("utf-8").splitlines())
    assert first["message"] == "größe\nzwei"
    assert "metrics" not in first
    assert first["time"].endswith("+00:00")
    assert (second["level"], second["metrics"]) == ("warning", {"train/loss": None, "step": 3})


def test_a_later_run_adds_to_the_log(tmp_path):
    for message in ("one", "two"):
        StatusLog(tmp_path).write(message)
    assert len((tmp_path / "status.json").read_text().splitlines()) == 2


def test_other_processes_write_nothing(tmp_path):
    StatusLog(tmp_path / "results", enabled=False).write("x")
    assert not (tmp_path / "results").exists()
