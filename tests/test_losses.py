from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from mal.losses import (
    batch_losses,
    crf_loss,
    dice_loss,
    mil_loss,
    refined_mask,
    target_losses,
    warm_up_factor,
)
from mal.models.prediction_mode import MeanFieldSettings


def box_of(rows: slice, columns: slice, side: int = 8) -> torch.Tensor:
    box = torch.zeros(1, side, side)
    box[0, rows, columns] = 1
    return box


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_dice_loss_is_symmetric_and_between_0_and_1(seed):
    first, second = torch.rand(2, 3, 5, 5, generator=torch.Generator().manual_seed(seed))
    loss = dice_loss(first, second)
    torch.testing.assert_close(loss, dice_loss(second, first))
    assert ((loss >= 0) & (loss <= 1)).all()


def test_dice_loss_is_0_for_the_same_mask_and_1_for_masks_apart():
    mask = box_of(slice(0, 4), slice(0, 8))
    assert dice_loss(mask, mask).item() == pytest.approx(0, abs=1e-4)
    assert dice_loss(mask, 1 - mask).item() == 1


def test_dice_loss_of_two_empty_maps_is_finite():
    assert torch.isfinite(dice_loss(torch.zeros(1, 4), torch.zeros(1, 4))).all()


def test_mil_loss_is_0_for_any_shape_that_touches_every_row_and_column_of_the_box():
    box = box_of(slice(2, 6), slice(2, 6))
    diagonal = torch.diag(box[0].diagonal())[None]
    assert mil_loss(diagonal, box).item() == pytest.approx(0, abs=1e-3)


def test_mil_loss_punishes_a_mask_that_leaves_the_box_and_one_that_does_not_fill_it():
    box = box_of(slice(2, 6), slice(2, 6))
    assert mil_loss(torch.ones(1, 8, 8), box) > 0.3
    assert mil_loss(box_of(slice(2, 3), slice(2, 3)), box) > 0.3


def test_mil_loss_of_a_batch_is_that_of_each_sample():
    prob, box = torch.rand(3, 8, 8), torch.cat([box_of(slice(i, 6), slice(1, 7)) for i in range(3)])
    together = mil_loss(prob, box)
    torch.testing.assert_close(together, torch.cat([mil_loss(prob[i : i + 1], box[i : i + 1]) for i in range(3)]))


def test_a_refined_mask_holds_only_0_and_1_and_lies_in_the_box():
    box = box_of(slice(2, 6), slice(2, 6))
    refined = refined_mask(torch.rand(1, 3, 8, 8), torch.full((1, 8, 8), 0.9), box, MeanFieldSettings(num_iter=3))
    assert set(refined.unique().tolist()) <= {0.0, 1.0}
    assert (refined <= box).all()


def test_crf_loss_passes_a_gradient_to_the_probabilities_only():
    prob = torch.rand(2, 4, 4, requires_grad=True)
    crf_loss(prob, torch.ones(2, 4, 4)).sum().backward()
    assert prob.grad.abs().sum() > 0


def inputs(batch: int = 2, grid: int = 8, crop: int = 32):
    torch.manual_seed(0)
    student = torch.randn(batch, 1, grid, grid, requires_grad=True)
    box = torch.zeros(batch, 1, crop, crop, dtype=torch.uint8)
    box[:, :, 8:24, 8:24] = 1
    return student, torch.randn(batch, 1, grid, grid), torch.rand(batch, 3, crop, crop), box


@pytest.mark.parametrize(("ratio", "side"), [(1, 8), (2, 16)])
def test_the_crf_loss_is_taken_at_its_multiple_of_the_logits(ratio, side):
    losses = batch_losses(*inputs(), MeanFieldSettings(num_iter=2), crf_size_ratio=ratio)
    assert losses.refined.shape == (2, side, side)
    assert losses.mil.shape == losses.crf.shape == (2,)


def test_both_losses_teach_the_student():
    student, teacher, image, box = inputs()
    losses = batch_losses(student, teacher, image, box, MeanFieldSettings(num_iter=2))
    for loss in (losses.mil, losses.crf):
        (gradient,) = torch.autograd.grad(loss.sum(), student, retain_graph=True)
        assert gradient.abs().sum() > 0


def test_losses_of_half_precision_logits_are_finite_and_single():
    student, teacher, image, box = inputs()
    losses = batch_losses(student.half() * 100, teacher.half(), image, box, MeanFieldSettings(num_iter=2))
    assert losses.mil.dtype == losses.crf.dtype == torch.float32
    assert torch.isfinite(losses.mil).all()
    assert torch.isfinite(losses.crf).all()


def target_inputs(batch: int = 2, crop: int = 32):
    """Logits, a target of half the box, full confidence, and the box."""
    box = torch.zeros(batch, 1, crop, crop, dtype=torch.uint8)
    box[:, :, 8:24, 8:24] = 1
    target = box.float()
    target[..., 16:] = 0
    logits = torch.randn(batch, 1, crop // 4, crop // 4, generator=torch.Generator().manual_seed(0))
    return logits.requires_grad_(), target, torch.ones(batch), box


def gradient_of(confidence: float, logits: torch.Tensor | None = None, *, may_correct: bool = False) -> torch.Tensor:
    """What dice and cross-entropy do to the logits, (B, h, w)."""
    own, target, ones, box = target_inputs()
    logits = own if logits is None else logits
    trusted = confidence * ones
    losses = target_losses(logits, target, trusted, box, may_correct=may_correct)
    (gradient,) = torch.autograd.grad(losses.mean(trusted), logits)
    return gradient[:, 0]


def test_a_student_that_draws_the_target_has_next_to_no_loss():
    _, target, confidence, box = target_inputs()
    logits = 40 * (F.adaptive_avg_pool2d(target, 8) - 0.5)
    losses = target_losses(logits, target, confidence, box, may_correct=True)
    assert float(losses.mean(confidence)) < 0.01
    assert losses.dice.shape == losses.bce.shape == losses.mil.shape == (2,)


def test_a_target_without_confidence_still_tells_what_is_outside_the_box():
    gradient = gradient_of(0.0)
    inside = torch.zeros(8, 8, dtype=torch.bool)
    inside[2:6, 2:6] = True
    assert not gradient[:, inside].any()
    assert (gradient[:, ~inside] > 0).all()  # certain background


@pytest.mark.parametrize("confidence", [0.3, 1.0])
def test_the_loss_inside_the_box_goes_with_the_confidence(confidence):
    gradient, whole = gradient_of(confidence), gradient_of(1.0)
    torch.testing.assert_close(gradient[:, 2:6, 2:6], confidence * whole[:, 2:6, 2:6])


@pytest.mark.parametrize("may_correct", [False, True])
def test_only_background_of_the_box_that_the_student_is_sure_of_is_left_out(may_correct):
    logits = torch.zeros(2, 1, 8, 8)
    logits[:, :, 3, 5] = 4.0  # in the box, not in the target
    logits[:, :, 3, 3] = -4.0  # in the target: no correction the other way
    logits[:, :, 0, 0] = 4.0  # outside: certain
    gradient = gradient_of(1.0, logits.requires_grad_(), may_correct=may_correct)
    assert bool(gradient[:, 3, 5].any()) == (not may_correct)
    assert (gradient[:, 3, 3] < 0).all()
    assert (gradient[:, 0, 0] > 0).all()
    assert (gradient[:, 3, 4] != 0).all()


def test_a_true_mask_is_never_corrected_and_others_of_its_batch_are():
    logits, target, confidence, box = target_inputs()
    logits = logits.detach()
    logits[:, 0] = 9.0  # sure of the object everywhere, so also where the target has none
    both = target_losses(logits, target, confidence, box, may_correct=torch.tensor([True, False]))
    for row, may_correct in enumerate((True, False)):
        alone = target_losses(logits, target, confidence, box, may_correct=may_correct)
        assert both.bce[row] == alone.bce[row]
        assert both.dice[row] == alone.dice[row]
    assert both.bce[0] < both.bce[1]


def test_losses_against_targets_are_finite_and_single_in_half_precision():
    logits, target, confidence, box = target_inputs()
    losses = target_losses(logits.half() * 1000, target, confidence, box, may_correct=True)
    for loss in (losses.dice, losses.bce, losses.mil):
        assert loss.dtype == torch.float32
        assert torch.isfinite(loss).all()


@pytest.mark.parametrize(
    ("epoch", "step", "ramp", "factor"),
    [
        (0, 0, 1000, 0.0),
        (0, 250, 1000, 0.25),
        (0, 1000, 1000, 1.0),
        (0, 5000, 1000, 1.0),
        (1, 0, 1000, 1.0),
        (0, 0, 0, 1.0),
    ],
)
def test_a_loss_weight_rises_in_the_first_epoch_only(epoch, step, ramp, factor):
    assert warm_up_factor(epoch, step, ramp) == factor
