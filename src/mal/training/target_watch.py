"""Stop training when its targets run away: self-training may drift to empty or to full boxes."""

from __future__ import annotations

from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer

from mal.errors import UserError
from mal.training.callbacks import last_good, train_figures
from mal.training.checkpoint_files import CheckpointFiles

FILL_LIMITS = (0.15, 0.97)  # mean over the boxes of an epoch
LEAST_FIT = 0.5
WATCHED = ("train/target_fill", "train/target_fit")


class TargetWatch(Callback):
    """Checks the mean fill and box fit of the targets after each epoch, see :class:`mal.data.targets.TargetQuality`.

    Place it before the callback that writes checkpoints, so that a run is not resumed behind the epoch at fault.

    Args:
        files: has the last checkpoint.
    """

    def __init__(self, files: CheckpointFiles) -> None:
        self._files = files
        self._sums = torch.zeros(len(WATCHED))
        self._steps = 0

    def state_dict(self) -> dict[str, Any]:
        """State for the checkpoint: sums over the steps of the epoch so far."""
        return {"sums": self._sums.tolist(), "steps": self._steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the sums."""
        self._sums = torch.tensor(state_dict["sums"])
        self._steps = state_dict["steps"]

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        """Add the figures of a batch; they are means over all ranks."""
        figures = train_figures(trainer)
        self._sums = self._sums.to(pl_module.device) + torch.stack([figures[name] for name in WATCHED])
        self._steps += 1

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check the epoch.

        Raises:
            UserError: its targets are no masks to learn from.
        """
        if not self._steps:  # resumed from a checkpoint of another target, at its validation
            return
        fill, fit = (self._sums / self._steps).tolist()
        self._sums, self._steps = torch.zeros_like(self._sums), 0
        low, high = FILL_LIMITS
        if low <= fill <= high and fit >= LEAST_FIT:
            return
        raise UserError(
            f"the targets of epoch {trainer.current_epoch + 1} are no masks to learn from: on average they fill"
            f" {fill:.0%} of the box (expected: {low:.0%} to {high:.0%}) and reach over {fit:.0%} of it (expected:"
            f" {LEAST_FIT:.0%} or more); {last_good(self._files.newest)}. Check boxes and images, raise"
            " train.ellipse_epochs or train.ellipse_share, or set train.target=mean_field"
        )
