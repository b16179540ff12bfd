"""Training that ends when its time is spent, and goes on from there."""

from __future__ import annotations

import pytest

from mal.training.time_limit import TimeIsUp, TimeLimit
from tests.cli.killable_runs import assert_equal_states, training_state
from tests.cli.small_runs import run_mal, small_data, write_spec


def test_time_is_kept_over_the_starts_of_a_run_and_stands_still_in_validations(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("mal.training.time_limit.time.monotonic", lambda: now[0])

    def wait(seconds: float) -> None:
        now[0] += seconds

    limit = TimeLimit(1)
    limit.load_state_dict({"seconds": 20.0})
    limit.on_train_start(None, None)
    wait(30)
    limit.on_validation_start(None, None)
    wait(1000)
    limit.on_validation_end(None, None)
    wait(5)
    limit.on_train_batch_end(None, None)
    assert limit.state_dict() == {"seconds": 55.0}
    assert not limit.is_up
    wait(5)
    limit.on_train_batch_end(None, None)
    assert limit.is_up


def test_a_run_whose_time_is_spent_does_not_start():
    limit = TimeLimit(1)
    limit.load_state_dict({"seconds": 60.0})
    with pytest.raises(TimeIsUp, match="1:00 of training are spent"):
        limit.on_train_start(None, None)


@pytest.mark.slow
def test_a_run_that_goes_on_after_its_time_was_spent_ends_as_one_without_a_limit(scenes, tmp_path, capfd):
    data = small_data(tmp_path / "coco", scenes)
    whole, limited = write_spec(data, tmp_path / "whole"), write_spec(data, tmp_path / "limited")
    assert run_mal(capfd, "train", "-e", whole).exit_code == 0
    first = run_mal(capfd, "train", "-e", limited, "train.max_minutes=1e-9")
    assert first.exit_code == 0
    assert "train.max_minutes = 1e-09 are spent: step 1 is saved" in first.out
    assert "of training are spent" in run_mal(capfd, "train", "-e", limited, "train.max_minutes=1e-9").out
    assert run_mal(capfd, "train", "-e", limited).exit_code == 0
    ends = [
        training_state(folder / "train/mal_model_latest.pth") for folder in (tmp_path / "limited", tmp_path / "whole")
    ]
    assert_equal_states(*ends)
