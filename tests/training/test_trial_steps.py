from __future__ import annotations

import pytest

from mal.errors import UserError
from mal.training.trial_steps import StepClock, Trial
from tests.training.test_module import fit, module

pytestmark = pytest.mark.filterwarnings("ignore:.*module.*eval mode.*", "ignore:You defined a `validation_step`.*")


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
