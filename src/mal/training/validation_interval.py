"""Which epochs end with a validation."""

from __future__ import annotations

from lightning import Callback, LightningModule, Trainer


class LastEpochValidation(Callback):
    """Lets the last epoch end with a validation, whatever the interval."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the epoch that a run resumes in, which does not begin again."""
        self.on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Set the interval to one when the last epoch begins."""
        if trainer.current_epoch + 1 == trainer.max_epochs:
            trainer.check_val_every_n_epoch = 1
