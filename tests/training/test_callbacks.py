from __future__ import annotations

import pytest
import torch

from mal.errors import UserError
from mal.runtime.status import StatusLog
from mal.training.callbacks import NonFiniteGuard
from mal.training.checkpoint_files import CheckpointFiles, KeepingRules
from mal.training.stop_signals import StopSignals
from mal.training.time_limit import TimeLimit
from tests.cli.small_runs import status_lines
from tests.training.test_module import fit, module

pytestmark = pytest.mark.filterwarnings("ignore:.*module.*eval mode.*", "ignore:You defined a `validation_step`.*")


def health(folder, *, skip: bool = False, clip: float = 0.0) -> NonFiniteGuard:
    status = StatusLog(folder)
    rules = KeepingRules(1, "epoch")
    files = CheckpointFiles(folder, rules, minutes=0, signals=StopSignals(), limit=TimeLimit(None), status=status)
    ids = {0: "left", 1: "right"}
    return NonFiniteGuard(ids, skip_bad_steps=skip, clip_grad_norm=clip, files=files, status=status)


def spoil(trained, monkeypatch, *, bad_calls: set[int], value: float = float("nan")) -> None:
    """Let the loss be ``value`` in some calls of the step, counted from 0."""
    step, calls = trained.training_step, iter(range(1000))
    monkeypatch.setattr(
        trained, "training_step", lambda *args: step(*args) * (value if next(calls) in bad_calls else 1.0)
    )


def copies(network) -> list[torch.Tensor]:
    return [tensor.detach().clone() for tensor in network.state_dict().values()]


def same(left, right) -> bool:
    return all(map(torch.equal, left, right))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_training_and_names_the_annotations(value, tmp_path, monkeypatch):
    trained = module()
    spoil(trained, monkeypatch, bad_calls={1}, value=value)
    with pytest.raises(UserError, match=r"the loss of step 2 is not finite; its annotations: left, right; there is no"):
        fit(trained, callbacks=[health(tmp_path)])


def test_the_last_good_checkpoint_is_named(tmp_path, monkeypatch):
    trained = module()
    spoil(trained, monkeypatch, bad_calls={0})
    watch = health(tmp_path)
    monkeypatch.setattr(watch._files, "newest", tmp_path / "model_epoch_007.pth")
    with pytest.raises(UserError, match=r"the last good checkpoint is .*model_epoch_007\.pth"):
        fit(trained, callbacks=[watch])


def test_a_skipped_step_changes_nothing_and_is_counted(tmp_path, monkeypatch):
    trained = module()
    spoil(trained, monkeypatch, bad_calls=set(range(6)))
    before = copies(trained.student), copies(trained.teacher)
    watch = health(tmp_path, skip=True)
    trainer = fit(trained, callbacks=[watch])
    assert same(copies(trained.student), before[0])
    assert same(copies(trained.teacher), before[1])
    assert watch.num_skipped == trainer.global_step == 6
    entry = status_lines(tmp_path / "status.json")[0]
    assert entry["level"] == "warning"
    assert "left, right" in entry["message"]


def test_steps_after_a_skipped_one_go_on_learning(tmp_path, monkeypatch):
    trained = module()
    spoil(trained, monkeypatch, bad_calls={1})
    before = copies(trained.student)
    fit(trained, callbacks=[health(tmp_path, skip=True)])
    assert not same(copies(trained.student), before)
    assert all(torch.isfinite(tensor).all() for tensor in copies(trained.student))


def test_one_bad_batch_spoils_the_step_that_it_is_summed_into(tmp_path, monkeypatch):
    trained = module(accum_grad_batches=3, num_epochs=1)
    spoil(trained, monkeypatch, bad_calls={1})
    watch = health(tmp_path, skip=True)
    before = copies(trained.student)
    fit(trained, callbacks=[watch], accumulate_grad_batches=3)
    assert watch.num_skipped == 1
    assert same(copies(trained.student), before)


def test_the_count_of_skipped_steps_goes_on_in_a_resumed_run(tmp_path):
    before = health(tmp_path)
    before.num_skipped = 3
    after = health(tmp_path)
    after.load_state_dict(before.state_dict())
    assert after.num_skipped == 3


def norms_of_steps(trained, monkeypatch, tmp_path, clip: float) -> list[float]:
    norms: list[float] = []
    step = torch.optim.AdamW.step

    def noted(self, closure=None):
        def then_note():
            loss = closure()
            grads = [parameter.grad for group in self.param_groups for parameter in group["params"]]
            norms.append(float(torch.nn.utils.get_total_norm([grad for grad in grads if grad is not None])))
            return loss

        return step(self, then_note)

    monkeypatch.setattr(torch.optim.AdamW, "step", noted)
    fit(trained, callbacks=[health(tmp_path, clip=clip)])
    return norms


def test_a_long_gradient_is_cut_to_the_norm_of_the_spec(tmp_path, monkeypatch):
    first, *others = norms_of_steps(module(), monkeypatch, tmp_path, clip=1e-5)
    assert first == 0  # both losses begin with weight 0
    assert others == pytest.approx([1e-5] * 5, rel=1e-2)


def test_without_a_limit_the_gradient_stays_as_it_is(tmp_path, monkeypatch):
    assert max(norms_of_steps(module(), monkeypatch, tmp_path, clip=0)) > 1e-5


def test_the_gradient_norm_is_logged(tmp_path):
    trainer = fit(module(), callbacks=[health(tmp_path)])
    assert trainer.callback_metrics["train/grad_norm"] > 0
