"""Watches the numbers of every step: gradient norm, and losses that are not finite."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from mal.data.train_boxes import TrainBatch
from mal.errors import UserError
from mal.models.network import MaskNetwork
from mal.training.checkpoint_files import CheckpointFiles
from mal.training.module import MalModule
from mal.training.status import StatusLog

IDS_NAMED = 16


class StepHealth(Callback):
    """Logs the gradient norm, clips it on request, and stops or skips where loss or gradient are not finite.

    Args:
        annotation_ids: of the annotations, by their places in the file.
        skip_bad_steps: leave such a step out and count it, rather than stop.
        clip_grad_norm: longest gradient; 0 for any.
        files: knows the last checkpoint.
        status: where a skipped step is written down.

    Attributes:
        num_skipped: steps that were left out, over all runs that this one goes on from.
    """

    def __init__(
        self,
        annotation_ids: dict[int, Any],
        *,
        skip_bad_steps: bool,
        clip_grad_norm: float,
        files: CheckpointFiles,
        status: StatusLog,
    ) -> None:
        self.num_skipped = 0
        self._annotation_ids = annotation_ids
        self._skip_bad_steps = skip_bad_steps
        self._clip_grad_norm = clip_grad_norm
        self._files = files
        self._status = status
        self._positions: Tensor | None = None
        self._losses: list[tuple[Tensor, Tensor]] = []
        self._buffers: list[Tensor] = []

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"num_skipped": self.num_skipped}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting."""
        self.num_skipped = state_dict["num_skipped"]

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: TrainBatch, batch_idx: int
    ) -> None:
        """Remember which boxes are in the batch, and what a forward pass changes."""
        self._positions = batch.positions
        if self._skip_bad_steps and not self._losses:
            self._buffers = [buffer.clone() for buffer in _student(pl_module).buffers()]

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        """Remember the loss; a step may sum up several."""
        assert self._positions is not None
        self._losses.append((loss.detach(), self._positions))

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Judge the step that is about to be taken.

        Raises:
            UserError: loss or gradient are not finite, and such steps are not to be skipped.
        """
        losses, self._losses = self._losses, []
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        norm = total_grad_norm(parameters)
        pl_module.log("train/grad_norm", norm, logger=False)
        suspects = [positions for loss, positions in losses if not torch.isfinite(loss)]
        # With float16 a gradient may overflow in good health: its scaler skips the step and takes a smaller scale.
        overflows = getattr(trainer.precision_plugin, "scaler", None) is None and not torch.isfinite(norm)
        if self._any_process(trainer, bool(suspects) or overflows):
            self._report(trainer, suspects or [positions for _, positions in losses], is_loss=bool(suspects))
            optimizer.zero_grad(set_to_none=True)  # an optimiser passes over parameters that have no gradient
            for buffer, before in zip(_student(pl_module).buffers(), self._buffers, strict=True):
                buffer.copy_(before)
        elif self._clip_grad_norm:
            torch.nn.utils.clip_grads_with_norm_(parameters, self._clip_grad_norm, norm)

    def _any_process(self, trainer: Trainer, is_bad: bool) -> bool:
        return trainer.strategy.reduce_boolean_decision(is_bad, all=False) if trainer.world_size > 1 else is_bad

    def _report(self, trainer: Trainer, suspects: Sequence[Tensor], *, is_loss: bool) -> None:
        step = trainer.global_step + 1
        ids = [self._annotation_ids[position] for positions in suspects for position in positions.tolist()]
        named = ", ".join(str(number) for number in ids[:IDS_NAMED]) + (", ..." if len(ids) > IDS_NAMED else "")
        what = f"{'the loss' if is_loss else 'the gradient'} of step {step} is not finite; its annotations: {named}"
        if not self._skip_bad_steps:
            raise UserError(
                f"{what}; {_last_good(self._files.newest)}."
                " Lower train.lr, set train.clip_grad_norm, or leave such steps out with train.on_bad_loss=skip"
            )
        self.num_skipped += 1
        self._status.write(f"step {step} skipped: {what}", {"skipped_steps": self.num_skipped}, level="warning")


def total_grad_norm(parameters: Sequence[Tensor]) -> Tensor:
    """Length of all gradients together; a scalar, the same in every process."""
    norm = torch.nn.utils.get_total_norm([each.grad for each in parameters if each.grad is not None])
    return norm.full_tensor() if isinstance(norm, DTensor) else norm


def _student(module: LightningModule) -> MaskNetwork:
    assert isinstance(module, MalModule)
    return module.student


def _last_good(path: Path | None) -> str:
    return f"the last good checkpoint is {path}" if path else "there is no checkpoint yet"
