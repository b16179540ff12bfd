"""The EMA teacher: an exponential moving average of the student."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

from mal.runtime.lightning_internals import lerp_all_

NetworkT = TypeVar("NetworkT", bound=nn.Module)


def make_teacher(student: NetworkT) -> NetworkT:
    """A copy of the student that takes no gradient and stays in eval mode."""
    return copy.deepcopy(student).requires_grad_(False).eval()


@torch.no_grad()
def update_teacher(teacher: nn.Module, student: nn.Module, momentum: float) -> None:
    """Move the teacher's parameters to ``momentum * teacher + (1 - momentum) * student``; copy the buffers.

    Source: MAL (arXiv 2301.03992), section 3.3. The public code does not copy the buffers, so a teacher with
    batch normalization would keep its initial statistics.
    """
    lerp_all_(_local(teacher), _local(student), 1 - momentum)
    for teacher_buffer, student_buffer in zip(teacher.buffers(), student.buffers(), strict=True):
        teacher_buffer.copy_(student_buffer)


def warmed_up(momentum: float, steps_done: int) -> float:
    """The momentum of a step after so many others: at most ``(1 + steps_done) / (10 + steps_done)``."""
    return min(momentum, (1 + steps_done) / (10 + steps_done))


def _local(network: nn.Module) -> list[Tensor]:
    """The parameters; of sharded ones, the part that this process holds."""
    from torch.distributed.tensor import DTensor  # takes a second to load, and labeling needs none

    return [each.to_local() if isinstance(each, DTensor) else each for each in network.parameters()]
