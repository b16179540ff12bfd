"""The length of a run: more epochs where there are few boxes, so that a recipe suits sets of any size."""

from __future__ import annotations

import math

from mal.config.train_config import TrainConfig


def steps_per_epoch(train: TrainConfig, num_boxes: int, world_size: int) -> int:
    """Optimizer steps of an epoch over a number of boxes, shared equally by all ranks."""
    boxes_per_process = math.ceil(num_boxes / world_size)
    return math.ceil(math.ceil(boxes_per_process / train.batch_size) / train.accum_grad_batches)


def with_min_steps(train: TrainConfig, num_boxes: int, world_size: int) -> TrainConfig:
    """The section with enough epochs for ``train.min_steps``; all that counts epochs grows with them.

    The result gives itself again, so that a resumed run and a saved spec have the same length.
    """
    num_epochs = math.ceil(train.min_steps / steps_per_epoch(train, num_boxes, world_size))
    if num_epochs <= train.num_epochs:
        return train
    factor = num_epochs / train.num_epochs
    longer = {
        "num_epochs": num_epochs,
        "warmup_epochs": round(factor * train.warmup_epochs),
        "ellipse_epochs": factor * train.ellipse_epochs,
        "validation_interval": round(factor * train.validation_interval),
    }
    if train.checkpoint_interval_unit == "epoch":
        longer["checkpoint_interval"] = round(factor * train.checkpoint_interval)
    return train.model_copy(update=longer)
