"""The optimizer of a run: AdamW, with one learning rate or with another one for the backbone."""

from __future__ import annotations

from collections.abc import Callable

import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import nn

from mal.config.train_config import TrainConfig
from mal.models.fpn_network import AnyMaskNetwork


def make_optimizer(
    student: AnyMaskNetwork, train: TrainConfig, rate_at: Callable[[int], float]
) -> OptimizerLRScheduler:
    """AdamW on the trained weights of a network, its rates set before every step.

    Args:
        student: the network that learns.
        train: the options of the optimizer. Its ``backbone_lr_rate`` makes two groups of weights, the backbone's first;
            at 1 there is one group, as in checkpoints from before it.
        rate_at: learning rate of a step, counted from 0.
    """
    backbone = _trained(student.get_submodule("backbone"))
    others = _trained(student)[len(backbone) :]  # the backbone comes first in both networks
    share = train.backbone_lr_rate
    groups = [(backbone + others, 1.0)] if share == 1 else [(backbone, share), (others, 1.0)]
    optimizer = torch.optim.AdamW(
        [{"params": parameters} for parameters, _ in groups],
        lr=1.0,  # multiplied by the schedule, which has the real rate
        betas=train.betas,
        eps=train.optim_eps,
        weight_decay=train.wd,
    )
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, [_scaled(rate_at, share) for _, share in groups])
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def _trained(module: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in module.parameters() if parameter.requires_grad]


def _scaled(rate_at: Callable[[int], float], share: float) -> Callable[[int], float]:
    return lambda step: share * rate_at(step)
