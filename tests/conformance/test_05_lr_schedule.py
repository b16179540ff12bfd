"""The learning rate over the epochs."""

from __future__ import annotations

import pytest

from mal.training.schedule import learning_rate
from tests.conformance.pack import assert_within, read_json, relative


@pytest.mark.parametrize("setting", range(4))
def test_the_rate_follows_the_public_schedule(public, setting):
    golden = read_json(public / "05_lr_schedule.json")[setting]
    options = {key: golden[key] for key in ("lr", "min_lr", "warmup_epochs", "num_epochs", "num_wave")}
    rates = [learning_rate(epoch, **options) for epoch in golden["epoch"]]
    assert_within("learning rate", "all settings", relative(rates, golden["value"]), 1e-12, "relative")
