from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mal.training.schedule import learning_rate


def rate(epoch: float, **changes: float) -> float:
    return learning_rate(epoch, **({"lr": 1.0, "min_lr": 0.2, "warmup_epochs": 1, "num_epochs": 10} | changes))


def test_the_rate_rises_from_0_in_a_straight_line():
    assert [rate(epoch) for epoch in (0, 0.25, 0.5)] == [0, 0.25, 0.5]


def test_the_rate_is_highest_after_warm_up_and_lowest_at_the_end():
    assert rate(1) == 1
    assert rate(10) == pytest.approx(0.2)
    assert rate(5.5) == pytest.approx(0.6)


def test_two_half_waves_end_at_the_top():
    assert rate(10, num_wave=2) == pytest.approx(1)
    assert rate(5.5, num_wave=2) == pytest.approx(0.2)


def test_without_warm_up_the_rate_starts_at_the_top():
    assert rate(0, warmup_epochs=0) == 1


def test_a_run_that_is_all_warm_up_ends_at_the_top():
    assert rate(0.5, num_epochs=1) == 0.5
    assert rate(1, num_epochs=1) == 1


@given(epoch=st.floats(1, 10))
def test_after_warm_up_the_rate_stays_between_its_ends(epoch):
    assert 0.2 - 1e-9 <= rate(epoch) <= 1
