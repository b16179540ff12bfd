"""The least that a trainer trains, in a fraction of a second, for tests of what happens around the steps."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import torch
from lightning import Callback, LightningModule, Trainer
from torch.utils.data import DataLoader

NUM_BOXES, BATCH_SIZE = 10, 4  # three batches in an epoch, the last one smaller


class OneWeight(LightningModule):
    """The least that a trainer trains; logs the names of figures that a real run has."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def training_step(self, batch, batch_idx):
        loss = (self.weight * batch.float().mean()) ** 2
        self.log_dict({"train/loss": loss.detach(), "train/lr": 0.1}, batch_size=len(batch), logger=False)
        return loss

    def validation_step(self, batch, batch_idx):
        self.log("val/mIoU", 0.5, batch_size=1)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.01)


def fit(folder: Path, *callbacks: Callback, epochs: int = 2, resume_from: Path | None = None, **options) -> Trainer:
    """Train and validate after each epoch."""
    options = {"logger": False} | options
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        callbacks=list(callbacks),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=folder,
        **options,
    )
    boxes = DataLoader(range(NUM_BOXES), batch_size=BATCH_SIZE)
    nothing = SimpleNamespace(failures=())
    trainer.fit(OneWeight(), boxes, DataLoader([nothing], batch_size=None), ckpt_path=resume_from)
    return trainer


class SaveAt(Callback):
    """Saves the state at a hook, the n-th time that it comes."""

    def __init__(self, hook: str, count: int, path: Path) -> None:
        self.left, self.path = count, path
        setattr(self, hook, self._save)

    def _save(self, trainer: Trainer, *_) -> None:
        self.left -= 1
        if self.left == 0:
            trainer.save_checkpoint(self.path)
