from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lightning import Trainer
from torch.utils.data import DataLoader

from mal.data.cut_grid import CutGrid
from mal.data.targets import EllipseTargets, TargetSettings, join_targets
from mal.data.train_dataset import TrainBatch
from mal.models.ema import make_teacher
from mal.training.module import MalModule, RunSize, learning_rate
from tests.small_networks import small_network, small_spec

pytestmark = pytest.mark.filterwarnings("ignore:.*module.*eval mode.*", "ignore:You defined a `validation_step`.*")


def batch(size: int = 2) -> TrainBatch:
    images = torch.randint(0, 256, (size, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    box_mask = torch.zeros(size, 1, 32, 32, dtype=torch.uint8)
    box_mask[:, :, 8:24, 8:24] = 1
    return TrainBatch(images, images, box_mask, torch.full((size,), 5000.0), torch.arange(size))


def module(steps_per_epoch: int = 3, world_size: int = 1, model=None, **train) -> MalModule:
    spec = small_spec(model=model or {}, train={"crf_num_iter": 2, "batch_size": 2, "num_epochs": 2} | train)
    student = small_network(**(model or {}))
    return MalModule(student, make_teacher(student), spec, RunSize(steps_per_epoch, world_size))


def batch_with_targets(epoch: int = 0, **changes) -> TrainBatch:
    """The batch with targets as the loader makes them in an epoch."""
    plain = batch()
    options = {"ellipse_epochs": 1.0, "ellipse_share": 0.0} | changes
    made = EllipseTargets(TargetSettings(**options))
    grid = CutGrid.around((8.0, 8.0, 23.0, 23.0), (32, 32), (0, 0, 32, 32))
    photos = plain.teacher_images.permute(0, 2, 3, 1).numpy()
    targets = [made.sample((0, epoch, index), grid, photo, side=32) for index, photo in enumerate(photos)]
    return replace(plain, targets=join_targets(targets))


def optimizer_of(module: MalModule):
    return module.configure_optimizers()["optimizer"]


def fit(module: MalModule, num_batches: int = 3, callbacks=(), **options) -> Trainer:
    loader = DataLoader([batch()] * num_batches, batch_size=None)
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=module.spec.train.num_epochs,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=list(callbacks),
        **options,
    )
    trainer.fit(module, loader)
    return trainer


@pytest.mark.parametrize(
    ("train", "betas"),
    [({}, (0.9, 0.9)), ({"optim_momentum": 0.5}, (0.5, 0.9)), ({"optim_betas": [0.8, 0.99]}, (0.8, 0.99))],
)
def test_momentum_is_the_first_beta_unless_both_are_given(train, betas):
    (group,) = optimizer_of(module(**train)).param_groups
    assert group["betas"] == betas
    assert (group["eps"], group["weight_decay"]) == (1e-8, 5e-4)


def test_only_the_student_s_unfrozen_parameters_are_optimised():
    trained = module(model={"frozen_stages": [0]})
    (group,) = optimizer_of(trained).param_groups
    ours = {id(parameter) for parameter in group["params"]}
    assert not ours & {id(parameter) for parameter in trained.teacher.parameters()}
    assert not ours & {id(parameter) for parameter in trained.student.backbone.patch_embed.parameters()}
    assert id(trained.student.roi_head.mlp1.weight) in ours


def rates(trained: MalModule, **options) -> list[float]:
    """The rate that each optimiser step really used."""
    used = []
    original = trained.optimizer_step

    def record(*args, **kwargs):
        used.append(trained.optimizers().param_groups[0]["lr"])
        original(*args, **kwargs)

    trained.optimizer_step = record
    fit(trained, **options)
    return used


@pytest.mark.parametrize(("world_size", "min_lr"), [(1, 0.0), (2, 1e-4)])
def test_the_rate_is_set_before_each_step(world_size, min_lr):
    lr, factor = 1e-3, 2 * world_size
    floor = (min_lr or 0.2 * lr) * factor
    expected = [
        learning_rate(step / 3, lr=lr * factor, min_lr=floor, warmup_epochs=1, num_epochs=2) for step in range(6)
    ]
    assert rates(module(world_size=world_size, lr=lr, min_lr=min_lr)) == pytest.approx(expected)


def test_a_summed_step_counts_as_one_for_the_rate():
    trained = module(steps_per_epoch=2, lr=1e-3, accum_grad_batches=2)
    expected = [learning_rate(step / 2, lr=2e-3, min_lr=4e-4, warmup_epochs=1, num_epochs=2) for step in range(4)]
    assert rates(trained, accumulate_grad_batches=2) == pytest.approx(expected)


def test_a_rate_of_0_leaves_the_student_as_it_is():
    trained = module(lr=0.0)
    before = [parameter.clone() for parameter in trained.student.parameters()]
    fit(trained)
    assert all(torch.equal(one, other) for one, other in zip(before, trained.student.parameters(), strict=True))


def test_the_teacher_follows_after_every_step_by_its_momentum():
    trained = module(num_epochs=1, warmup_epochs=0, lr=1e-3, model={"teacher_momentum": 0.9})
    name = "roi_head.mlp1.weight"
    expected = trained.teacher.get_parameter(name).clone()
    original = trained.optimizer_step

    def follow(*args, **kwargs):
        original(*args, **kwargs)
        expected.lerp_(trained.student.get_parameter(name).detach(), 0.1)

    trained.optimizer_step = follow
    fit(trained)
    torch.testing.assert_close(trained.teacher.get_parameter(name), expected)
    assert not torch.equal(expected, trained.student.get_parameter(name))


def test_the_teacher_stays_in_eval_mode_while_the_student_trains():
    trained = module().train()
    assert trained.student.training
    assert not any(part.training for part in trained.teacher.modules())


def losses(
    trained: MalModule, monkeypatch, batch_idx: int, epoch: int = 0, given: TrainBatch | None = None
) -> tuple[float, dict]:
    logged: dict = {}
    alone = SimpleNamespace(reduce=lambda value, **_: value)
    trained._trainer = SimpleNamespace(current_epoch=epoch, optimizers=[optimizer_of(trained)], strategy=alone)
    monkeypatch.setattr(trained, "log_dict", lambda values, **_: logged.update(values))
    return float(trained.training_step(given or batch(), batch_idx)), logged


@pytest.mark.parametrize(
    ("epoch", "batch_idx", "accumulated", "share"), [(0, 0, 1, 0.0), (0, 5, 1, 0.5), (0, 5, 2, 0.2), (1, 0, 1, 1.0)]
)
def test_losses_are_weighted_and_rise_over_the_steps_of_the_first_epoch(
    monkeypatch, epoch, batch_idx, accumulated, share
):
    trained = module(loss_mil_step=10, loss_crf_step=10, accum_grad_batches=accumulated)
    loss, logged = losses(trained, monkeypatch, batch_idx, epoch)
    whole = 4 * float(logged["train/mil"]) + 0.5 * float(logged["train/crf"])
    assert loss == pytest.approx(share * whole, rel=1e-5)
    assert np.isfinite(loss)


GRAPH_CUT = {"target": "graph_cut", "loss_mil_step": 0}


@pytest.mark.parametrize(("epoch", "ellipse_epochs"), [(0, 1.0), (1, 1.0), (0, 0.0)])
def test_the_loss_against_targets_is_the_sum_of_what_is_logged(monkeypatch, epoch, ellipse_epochs):
    trained = module(**GRAPH_CUT, ellipse_epochs=ellipse_epochs, loss_mil_weight=2.0)
    given = batch_with_targets(epoch, ellipse_epochs=ellipse_epochs)
    loss, logged = losses(trained, monkeypatch, 0, epoch, given)
    names = {"loss", "mil", "dice", "bce", "target_fill", "target_fit", "target_confidence", "lr"}
    assert set(logged) == {f"train/{name}" for name in names}
    rest = 2 * float(logged["train/mil"]) + float(logged["train/bce"])
    assert rest <= loss <= rest + float(logged["train/dice"]) + 1e-5
    assert 0 <= float(logged["train/target_fill"]) <= 1


@pytest.mark.parametrize(("epoch", "batch_idx", "runs"), [(0, 2, False), (1, 0, False), (1, 1, False), (1, 2, True)])
def test_the_teacher_runs_once_the_ellipse_s_epochs_are_over(monkeypatch, epoch, batch_idx, runs):
    trained = module(**GRAPH_CUT, ellipse_epochs=1.5, steps_per_epoch=4)
    calls = []
    monkeypatch.setattr(trained.teacher, "forward", lambda *_: calls.append(0) or torch.zeros(2, 1, 8, 8))
    losses(trained, monkeypatch, batch_idx, epoch, batch_with_targets(epoch, ellipse_epochs=1.5))
    assert bool(calls) == runs


def test_a_warm_teacher_counts_the_steps_that_were_done_before():
    trained = module(num_epochs=1, warmup_epochs=0, lr=1e-3, model={"teacher_momentum": 0.9, "teacher_warmup": True})
    name, momenta = "roi_head.mlp1.weight", iter((1 / 10, 2 / 11, 3 / 12))
    expected = trained.teacher.get_parameter(name).clone()
    original = trained.optimizer_step

    def follow(*args, **kwargs):
        original(*args, **kwargs)
        expected.lerp_(trained.student.get_parameter(name).detach(), 1 - next(momenta))

    trained.optimizer_step = follow
    fit(trained)
    torch.testing.assert_close(trained.teacher.get_parameter(name), expected)


def test_the_checkpoint_of_a_module_explains_itself():
    checkpoint: dict = {}
    trained = module()
    trained.on_save_checkpoint(checkpoint)
    assert checkpoint["hyper_parameters"]["model"]["stem"] == "patch"
    trained.on_load_checkpoint(checkpoint)


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
