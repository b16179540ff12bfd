"""Random numbers inside the network that a resumed run draws again."""

from __future__ import annotations

import lightning
import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer

from mal.config.train_config import TrainConfig
from mal.data.train_boxes import TrainBatch, TrainBoxes

MAX_SEED = 2**32 - 1


def seed_everything(train: TrainConfig) -> int:
    """Seed all generators as a spec says, and choose cuDNN's kernels; returns the seed, a fresh one for -1."""
    torch.backends.cudnn.benchmark = train.cudnn.benchmark
    torch.backends.cudnn.deterministic = train.cudnn.deterministic
    if train.seed < 0:
        return int(torch.seed()) % MAX_SEED
    lightning.seed_everything(train.seed, verbose=False)
    return train.seed


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
