"""The whole training objective of a batch: MIL and CRF losses of the student, with the teacher's help."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from mal.losses.crf import MeanFieldSettings, crf_loss, refined_mask
from mal.losses.mil import mil_loss


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
    """Losses of a batch from the logits of both networks.

    Args:
        student_logits: (B, 1, h, w), with gradient.
        teacher_logits: (B, 1, h, w), without.
        image: (B, 3, H, W) float, the student's (augmented) view, normalised.
        box_mask: (B, 1, H, W) float in 0..1 of the same crop.
        settings: mean-field options.
        crf_size_ratio: the CRF loss is taken at this multiple of the logit map.
    """
    # Sums over whole maps overflow half precision; the losses are cheap, so they stay in single.
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
