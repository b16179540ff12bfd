"""Complete the targets of a batch: those that the loader has cut, and those that the teacher seeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mal.data.cut_grid import Floats
from mal.data.targets import FROM_TEACHER, CutWindow, TargetBatch, cut_target, figures_of, target_in_crop
from mal.runtime.threads import map_in_threads

MAX_THREADS = 4


@dataclass(frozen=True, slots=True)
class Targets:
    """What the student learns from.

    Attributes:
        masks: (B, 1, S, S) float32 in 0..1, 0 outside the box.
        fill, fit, confidence: (B,) float32, see :class:`mal.data.targets.TargetQuality`.
        is_true: (B,) bool, whether it is a true mask.
    """

    masks: Tensor
    fill: Tensor
    fit: Tensor
    confidence: Tensor
    is_true: Tensor


def complete_targets(batch: TargetBatch, box_mask: Tensor, teacher_prob: Tensor | None, *, softness: float) -> Targets:
    """Take the loader's targets, and cut those that the teacher seeds.

    Args:
        batch: of the loader.
        box_mask: (B, 1, S, S) uint8 of the same crops; masks end at its border.
        teacher_prob: (B, 1, n, n) float32 of the same crops; None leaves all to the ellipse.
        softness: weight of the teacher's probabilities in a target that they seed, 0..1; the rest is the cut's.
    """
    masks, figures = batch.ellipse, batch.figures
    if teacher_prob is not None and not batch.keeps_ellipse.all():
        masks, figures = _with_cuts(batch, teacher_prob[:, 0].cpu().numpy(), softness)
    fill, fit, confidence = figures.unbind(1)
    return Targets(masks / 255 * box_mask, fill, fit, confidence, batch.is_true)


def _with_cuts(batch: TargetBatch, probs: Floats, softness: float) -> tuple[Tensor, Tensor]:
    """Masks and figures of the batch, those of the teacher's boxes in place of the loader's."""
    masks, figures, side = batch.ellipse.clone(), batch.figures.clone(), batch.ellipse.shape[-1]

    def cut(job: tuple[CutWindow, Floats]) -> tuple[Tensor, Tensor]:
        window, prob = job
        inside = window.grid.inside
        seed = window.grid.from_crop(prob) * inside
        target = cut_target(window.image, seed, inside, FROM_TEACHER)
        soft = (1 - softness) * target.mask.astype(np.float32) + softness * seed
        return target_in_crop(window.grid, soft, side=side), figures_of(target.quality)

    chosen = [index for index, window in enumerate(batch.windows) if window is not None]
    jobs = [(window, prob) for window, prob in zip(batch.windows, probs, strict=True) if window is not None]
    threads = min(MAX_THREADS, torch.get_num_threads(), len(jobs))
    cuts = list(map_in_threads(cut, jobs, threads=threads if threads > 1 else 0))
    masks[chosen] = torch.cat([mask for mask, _ in cuts]).to(masks.device)
    figures[chosen] = torch.cat([row for _, row in cuts]).to(figures.device)
    return masks, figures
