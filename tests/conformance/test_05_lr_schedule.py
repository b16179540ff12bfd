"""The learning rate over the epochs."""

from __future__ import annotations

import pytest

from mal.training.module import learning_rate
from tests.conformance.pack import assert_within, read_json, relative


@pytest.mark.parametrize("setting", range(4))
def test_the_rate_follows_the_public_schedule(golden, setting):
    case = read_json(golden / "05_lr_schedule.json")[setting]
    options = {key: case[key] for key in ("lr", "min_lr", "warmup_epochs", "num_epochs", "num_wave")}
    rates = [learning_rate(epoch, **options) for epoch in case["epoch"]]
    assert_within("learning rate", "all settings", relative(rates, case["value"]), 1e-12, "relative")
