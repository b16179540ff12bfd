"""Training losses: multiple-instance (MIL) loss of box projections, and CRF loss."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from mal.ops.mean_field import mean_field

SMOOTHING = 1e-3


def dice_loss(prob: Tensor, target: Tensor) -> Tensor:
    """One minus the squared-denominator dice coefficient of each sample.

    Args:
        prob: (B, ...) float in 0..1.
        target: same shape, 0..1.

    Returns:
        (B,) float in 0..1.
    """
    prob, target = prob.flatten(1), target.flatten(1)
    overlap = (prob * target).sum(1)
    return 1 - 2 * overlap / (prob.square().sum(1) + SMOOTHING + target.square().sum(1) + SMOOTHING)


def mil_loss(prob: Tensor, box_mask: Tensor) -> Tensor:
    """Compare the maxima of each row and of each column of the mask with those of its box.

    Source: MAL (arXiv 2301.03992), section 3.3, multiple-instance learning loss.

    Args:
        prob: (B, H, W) float in 0..1, the student's foreground probabilities.
        box_mask: (B, H, W) float in 0..1, 1 inside the box.

    Returns:
        (B,) float in 0..2: dice loss of the rows plus that of the columns.
    """
    rows = dice_loss(prob.amax(2), box_mask.amax(2))
    columns = dice_loss(prob.amax(1), box_mask.amax(1))
    return rows + columns


@dataclass(frozen=True, slots=True)
class MeanFieldSettings:
    """Options of :func:`mal.ops.mean_field.mean_field`, named as there."""

    kernel_size: int = 3
    num_iter: int = 100
    zeta: float = 0.1
    low: float = 0.1
    high: float = 0.9


@torch.no_grad()
def refined_mask(image: Tensor, prob: Tensor, box_mask: Tensor, settings: MeanFieldSettings) -> Tensor:
    """Refine probabilities with the mean field and threshold them to a mask.

    Args:
        image: (B, 3, H, W) float, normalized colors.
        prob: (B, H, W) float in 0..1.
        box_mask: (B, H, W) float in 0..1.
        settings: mean-field options.

    Returns:
        (B, H, W) float, each value 0 or 1.
    """
    soft = mean_field(image, prob, box_mask, **asdict(settings))
    return (soft > 0.5).to(soft.dtype)


def crf_loss(prob: Tensor, refined: Tensor) -> Tensor:
    """Dice loss of the student's probabilities against the refined mask.

    Source: MAL (arXiv 2301.03992), section 3.3.

    Args:
        prob: (B, H, W) float in 0..1, with gradient.
        refined: (B, H, W) float, 0 or 1, from :func:`refined_mask`.

    Returns:
        (B,) float in 0..1.
    """
    return dice_loss(prob, refined)


@dataclass(frozen=True, slots=True)
class BatchLosses:
    """Unweighted losses of a batch.

    Attributes:
        mil: (B,) multiple-instance loss of each box, 0..2.
        crf: (B,) refinement loss of each box, 0..1.
        refined: (B, H, W) the refined masks that served as targets, 0 or 1.
    """

    mil: Tensor
    crf: Tensor
    refined: Tensor


def batch_losses(
    student_logits: Tensor,
    teacher_logits: Tensor,
    image: Tensor,
    box_mask: Tensor,
    settings: MeanFieldSettings,
    *,
    crf_size_ratio: int = 1,
) -> BatchLosses:
    """Compute both losses of a batch from the logits of student and teacher.

    Args:
        student_logits: (B, 1, h, w), with gradient.
        teacher_logits: (B, 1, h, w), without.
        image: (B, 3, H, W) float, the student's (augmented) view, normalized.
        box_mask: (B, 1, H, W) float in 0..1 of the same crop.
        settings: mean-field options.
        crf_size_ratio: the CRF loss is taken at this multiple of the logit map.
    """
    # Sums over whole maps overflow half precision; the losses are cheap, so float32 is used.
    student_prob = student_logits.float().sigmoid()
    teacher_prob = teacher_logits.float().sigmoid()
    image, box_mask = image.float(), box_mask.float()

    mil = mil_loss(student_prob[:, 0], _resize(box_mask, student_prob.shape[-2:])[:, 0])

    size = [side * crf_size_ratio for side in student_prob.shape[-2:]]
    student_prob, teacher_prob = _resize(student_prob, size)[:, 0], _resize(teacher_prob, size)[:, 0]
    with torch.no_grad():
        mean_prob = (student_prob + teacher_prob) / 2
        refined = refined_mask(_resize(image, size), mean_prob, _resize(box_mask, size)[:, 0], settings)
    return BatchLosses(mil=mil, crf=crf_loss(student_prob, refined), refined=refined)


def warm_up_factor(epoch: int, step_in_epoch: int, ramp_steps: int) -> float:
    """Factor of a loss weight: rises from 0 to 1 over ``ramp_steps`` steps of the first epoch, 1 ever after."""
    if epoch > 0 or ramp_steps <= 0:
        return 1.0
    return min(1.0, step_in_epoch / ramp_steps)


def _resize(maps: Tensor, size: list[int] | torch.Size) -> Tensor:
    if list(maps.shape[-2:]) == list(size):
        return maps
    return F.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=False)
