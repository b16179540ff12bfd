"""Training losses: multiple-instance (MIL) loss of box projections, CRF loss, and losses against given targets."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from mal.models.prediction_mode import MeanFieldSettings
from mal.ops.mean_field import mean_field

SMOOTHING = 1e-3
OUTSIDE_WEIGHT = 0.2  # of a pixel outside the box; one inside counts this much and 1 more
SURE_OF_OBJECT = 0.9  # the student's probability above which it may be right against its target


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


@dataclass(frozen=True, slots=True)
class TargetLosses:
    """Losses of a batch against targets.

    Attributes:
        dice: (B,) dice loss of each box, 0..1, not weighted by its confidence.
        bce: (B,) binary cross-entropy of each box, inside the box weighted by its confidence.
        mil: (B,) multiple-instance loss of each box, 0..2.
    """

    dice: Tensor
    bce: Tensor
    mil: Tensor

    def mean(self, confidence: Tensor) -> Tensor:
        """Mean over boxes of dice, weighted by confidence (B,), and cross-entropy; a scalar."""
        return (self.dice * confidence + self.bce).mean()


def target_losses(
    student_logits: Tensor, target: Tensor, confidence: Tensor, box_mask: Tensor, *, may_correct: bool | Tensor
) -> TargetLosses:
    """Compare the student with targets that may be wrong.

    A pixel inside the box counts by the confidence in its target. One outside is background for certain: it counts by
    itself less, because there are many, and whatever the confidence.

    The correction is one-sided (Boxes2Pixels, 2026): pixels inside the box that the target calls background and of
    which the student is sure that they are not count nothing. Targets leave out parts of objects more often than they
    add some.

    Args:
        student_logits: (B, 1, h, w), with gradient.
        target: (B, 1, H, W) float in 0..1, 0 outside the box.
        confidence: (B,) float in 0..1.
        box_mask: (B, 1, H, W) float in 0..1 of the same crop.
        may_correct: whether the student has learned enough for the correction; (B,) bool where it depends on the box,
            since a true mask is never corrected.
    """
    logits = student_logits.float()[:, 0]  # sums over whole maps overflow half precision
    prob = logits.sigmoid()
    with torch.no_grad():
        size = (logits.shape[1], logits.shape[2])
        target, box_mask = (F.adaptive_avg_pool2d(each.float(), size)[:, 0] for each in (target, box_mask))
        corrected = (prob > SURE_OF_OBJECT) & (target < 0.5) & (box_mask > 0.5)
        counted = 1 - (corrected & torch.as_tensor(may_correct, device=prob.device).reshape(-1, 1, 1)).float()
        importance = OUTSIDE_WEIGHT + box_mask
        weight = importance * (1 - box_mask * (1 - confidence.float()[:, None, None])) * counted
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return TargetLosses(
        dice=dice_loss(prob * counted, target * counted),
        bce=(weight * entropy).sum((1, 2)) / importance.sum((1, 2)),
        mil=mil_loss(prob, box_mask),
    )


def warm_up_factor(epoch: int, step_in_epoch: int, ramp_steps: int) -> float:
    """Factor of a loss weight: rises from 0 to 1 over ``ramp_steps`` steps of the first epoch, 1 ever after."""
    if epoch > 0 or ramp_steps <= 0:
        return 1.0
    return min(1.0, step_in_epoch / ramp_steps)


def _resize(maps: Tensor, size: list[int] | torch.Size) -> Tensor:
    if list(maps.shape[-2:]) == list(size):
        return maps
    return F.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=False)
