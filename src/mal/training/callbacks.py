"""Callbacks of training: non-finite guard, step log, seeds of each step, validation interval."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from mal.config.train_config import TrainConfig
from mal.data.train_dataset import BoxCropDataset, TrainBatch
from mal.errors import UserError
from mal.models.fpn_network import AnyMaskNetwork
from mal.runtime.lightning_internals import is_accumulating
from mal.runtime.status import StatusLog
from mal.training.checkpoint_files import CheckpointFiles
from mal.training.module import MalModule

STEPS_BETWEEN_FIGURES = 10


class StepLog(Callback):
    """Logs the training metrics of every tenth step.

    The trainer logs them after all callbacks, so a run stopped by a checkpoint callback would never log its last step.
    Place this callback before those, and turn the trainer's own step log off.
    """

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        """Log this step's metrics under the step number, 0 for the first."""
        step = trainer.global_step - 1
        if is_accumulating(trainer) or step % STEPS_BETWEEN_FIGURES:
            return
        figures = {name: float(value) for name, value in train_figures(trainer).items()}
        for logger in trainer.loggers:
            logger.log_metrics(figures, step)
            logger.save()


def train_figures(trainer: Trainer) -> dict[str, Tensor]:
    """Scalars of the last step by name, such as ``train/loss``; still on their device."""
    return {name: value for name, value in trainer.callback_metrics.items() if name.startswith("train/")}


MAX_SEED = 2**32 - 1


def seed_everything(train: TrainConfig) -> int:
    """Seed all generators and configure cuDNN as a spec says; returns the seed, a fresh one for -1."""
    torch.backends.cudnn.benchmark = train.cudnn.benchmark
    torch.backends.cudnn.deterministic = train.cudnn.deterministic
    if train.seed < 0:
        return int(torch.seed()) % MAX_SEED
    lightning.seed_everything(train.seed, verbose=False)
    return train.seed


class StepSeeds(Callback):
    """Seeds torch before every batch from (seed, process, epoch, batch), so that no random state has to be saved.

    Stochastic depth uses these random numbers.

    Args:
        boxes: has the run's seed.
    """

    def __init__(self, boxes: BoxCropDataset) -> None:
        self._boxes = boxes

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: TrainBatch, batch_idx: int
    ) -> None:
        """Seed the generators of all devices."""
        torch.manual_seed(batch_seed(self._boxes.seed, trainer.global_rank, trainer.current_epoch, batch_idx))


def batch_seed(seed: int, rank: int, epoch: int, batch_idx: int) -> int:
    """A 64-bit seed, unique to the batch."""
    return int(np.random.SeedSequence([seed, rank, epoch, batch_idx]).generate_state(1, np.uint64)[0])


class LastEpochValidation(Callback):
    """Makes the last epoch end with a validation, whatever the interval."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check the epoch in which a run resumes, since it does not start again."""
        self.on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Set the interval to 1 when the last epoch begins."""
        if trainer.current_epoch + 1 == trainer.max_epochs:
            trainer.check_val_every_n_epoch = 1


IDS_NAMED = 16


class NonFiniteGuard(Callback):
    """Logs the gradient norm, clips it on request, and stops or skips if loss or gradient are not finite.

    Args:
        annotation_ids: annotation ids by position in the file.
        skip_bad_steps: skip and count such a step instead of stopping.
        clip_grad_norm: largest gradient norm; 0 for no limit.
        files: has the last checkpoint.
        status: log of skipped steps.

    Attributes:
        num_skipped: number of skipped steps, including those of the runs that this one resumes.
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
        """State for the checkpoint."""
        return {"num_skipped": self.num_skipped}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the count."""
        self.num_skipped = state_dict["num_skipped"]

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: TrainBatch, batch_idx: int
    ) -> None:
        """Store the boxes of the batch, and the buffers that a forward pass changes."""
        self._positions = batch.positions
        if self._skip_bad_steps and not self._losses:
            self._buffers = [buffer.clone() for buffer in _student(pl_module).buffers()]

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        """Store the loss; a step may sum up several."""
        assert self._positions is not None
        self._losses.append((loss.detach(), self._positions))

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Check loss and gradient before the optimizer step.

        Raises:
            UserError: loss or gradient are not finite, and skipping is off.
        """
        losses, self._losses = self._losses, []
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        norm = total_grad_norm(parameters)
        pl_module.log("train/grad_norm", norm, logger=False)
        suspects = [positions for loss, positions in losses if not torch.isfinite(loss)]
        # A float16 gradient may overflow without a fault: the scaler skips the step and lowers its scale.
        overflows = getattr(trainer.precision_plugin, "scaler", None) is None and not torch.isfinite(norm)
        if self._any_process(trainer, bool(suspects) or overflows):
            self._report(trainer, suspects or [positions for _, positions in losses], is_loss=bool(suspects))
            optimizer.zero_grad(set_to_none=True)  # an optimizer ignores parameters without a gradient
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
                f"{what}; {last_good(self._files.newest)}."
                " Lower train.lr, set train.clip_grad_norm, or leave such steps out with train.on_bad_loss=skip"
            )
        self.num_skipped += 1
        self._status.write(f"step {step} skipped: {what}", {"skipped_steps": self.num_skipped}, level="warning")


def total_grad_norm(parameters: Sequence[Tensor]) -> Tensor:
    """Norm of all gradients together; a scalar, the same on every rank."""
    norm = torch.nn.utils.get_total_norm([each.grad for each in parameters if each.grad is not None])
    return norm.full_tensor() if isinstance(norm, DTensor) else norm


def _student(module: LightningModule) -> AnyMaskNetwork:
    assert isinstance(module, MalModule)
    return module.student


def last_good(path: Path | None) -> str:
    """The last checkpoint, for the message of a run that stops."""
    return f"the last good checkpoint is {path}" if path else "there is no checkpoint yet"
