from __future__ import annotations

import pytest
import torch

from mal.errors import UserError
from mal.runtime.status import StatusLog
from mal.training.checkpoint_files import CheckpointFiles, KeepingRules
from mal.training.stop_signals import StopSignals
from mal.training.target_watch import TargetWatch
from mal.training.time_limit import TimeLimit
from tests.training.test_module import fit, module

pytestmark = pytest.mark.filterwarnings("ignore:.*module.*eval mode.*", "ignore:You defined a `validation_step`.*")


def watch(folder) -> TargetWatch:
    rules, limit = KeepingRules(1, "epoch"), TimeLimit(None)
    files = CheckpointFiles(folder, rules, minutes=0, signals=StopSignals(), limit=limit, status=StatusLog(folder))
    return TargetWatch(files)


def trained_on(monkeypatch, fills: list[float], fit_of_box: float = 0.9):
    """A module whose targets fill their boxes like this, step after step."""
    trained = module()
    fill = iter(fills)

    def step(batch, batch_idx):
        trained.log_dict(
            {"train/target_fill": torch.tensor(next(fill)), "train/target_fit": torch.tensor(fit_of_box)},
            batch_size=2,
            logger=False,
        )
        return trained.student.roi_head.mlp1.weight.sum() * 0

    monkeypatch.setattr(trained, "training_step", step)
    return trained


def test_an_epoch_of_good_targets_passes(tmp_path, monkeypatch):
    fit(trained_on(monkeypatch, [0.1, 0.7, 0.99, 0.6, 0.6, 0.6]), callbacks=[watch(tmp_path)])


@pytest.mark.parametrize(
    ("fill", "fit_of_box", "words"),
    [(0.1, 0.9, "fill 10% of the box"), (0.99, 1.0, "fill 99% of the box"), (0.6, 0.4, "reach over 40% of it")],
)
def test_targets_that_run_away_stop_the_run_at_the_end_of_their_epoch(tmp_path, monkeypatch, fill, fit_of_box, words):
    trained = trained_on(monkeypatch, [0.6, 0.6, 0.6, fill, fill, fill], fit_of_box)
    epoch = 1 if fit_of_box < 0.5 else 2
    with pytest.raises(UserError, match=rf"the targets of epoch {epoch} .*{words}.*there is no checkpoint yet"):
        fit(trained, callbacks=[watch(tmp_path)])


def test_the_mean_of_an_epoch_survives_a_stop_within_it(tmp_path):
    before, after = watch(tmp_path), watch(tmp_path)
    before._sums, before._steps = torch.tensor([1.5, 2.5]), 3
    after.load_state_dict(before.state_dict())
    assert after.state_dict() == before.state_dict() == {"sums": [1.5, 2.5], "steps": 3}
