"""The learning rate over the epochs."""

from __future__ import annotations

import math


def learning_rate(
    epoch: float, *, lr: float, min_lr: float, warmup_epochs: float, num_epochs: float, num_wave: float = 1
) -> float:
    """Linear warm-up from 0, then a cosine down to the floor.

    Source: MAL (arXiv 2301.03992), section 4.1.

    Args:
        epoch: epochs done so far, with the fraction of the current one.
        lr: highest rate.
        min_lr: rate at the end of a half wave.
        warmup_epochs: epochs until ``lr`` is reached.
        num_epochs: epochs of the whole run.
        num_wave: half waves of the cosine.
    """
    if epoch < warmup_epochs:
        return lr * epoch / warmup_epochs
    if num_epochs <= warmup_epochs:
        return lr
    progress = (epoch - warmup_epochs) / (num_epochs - warmup_epochs)
    return min_lr + (lr - min_lr) * 0.5 * (1 + math.cos(math.pi * progress * num_wave))
