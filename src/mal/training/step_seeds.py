"""Random numbers inside the network that a resumed run draws again."""

from __future__ import annotations

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer

from mal.data.train_boxes import TrainBatch, TrainBoxes


class StepSeeds(Callback):
    """Seeds torch before every batch from (seed, process, epoch, batch), so that no random state has to be saved.

    Stochastic depth is what draws them.

    Args:
        boxes: whose seed it is.
    """

    def __init__(self, boxes: TrainBoxes) -> None:
        self._boxes = boxes

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: TrainBatch, batch_idx: int
    ) -> None:
        """Seed the generators of all devices."""
        torch.manual_seed(batch_seed(self._boxes.seed, trainer.global_rank, trainer.current_epoch, batch_idx))


def batch_seed(seed: int, rank: int, epoch: int, batch_idx: int) -> int:
    """A seed of 64 bits that no other batch has."""
    return int(np.random.SeedSequence([seed, rank, epoch, batch_idx]).generate_state(1, np.uint64)[0])
