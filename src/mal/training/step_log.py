"""The figures of the steps, as they go to TensorBoard and to trackers."""

from __future__ import annotations

from typing import Any

from lightning import Callback, LightningModule, Trainer
from torch import Tensor

STEPS_BETWEEN_FIGURES = 10


class StepLog(Callback):
    """Logs the training figures of every tenth step.

    The trainer would log them after all callbacks, so that a run which is stopped by one that saves the state would
    never log its last step. To be placed before such callbacks; the trainer's own log of steps is to be off.
    """

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        """Log what the module logged in this step, under the number of the step, 0 for the first."""
        step = trainer.global_step - 1
        if trainer.fit_loop._should_accumulate() or step % STEPS_BETWEEN_FIGURES:
            return
        figures = {name: float(value) for name, value in train_figures(trainer).items()}
        for logger in trainer.loggers:
            logger.log_metrics(figures, step)
            logger.save()


def train_figures(trainer: Trainer) -> dict[str, Tensor]:
    """Scalars of the last step by name, ``train/loss`` and the like; still on their device."""
    return {name: value for name, value in trainer.callback_metrics.items() if name.startswith("train/")}
