"""The LightningDataModule: the loaders of a training run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from lightning import LightningDataModule, Trainer
from torch.utils.data import DataLoader

from mal.checkpoint.load import TrainingPosition
from mal.config.schema import ExperimentSpec
from mal.data.box_input import BoxInput
from mal.data.crop_loader import CropLoader
from mal.data.label_dataset import CropBatch
from mal.data.loaders import crop_loader
from mal.data.train_dataset import EpochSampler, TrainBatch, train_loader
from mal.models.from_spec import crop_settings
from mal.training.inputs import TrainingInputs


class TrainingData(LightningDataModule):
    """Training samples and validation crops of this process.

    Args:
        inputs: checked boxes and masks.
        spec: the whole spec, with the network that is trained.
        place: position in the run at which training resumes.
    """

    def __init__(self, inputs: TrainingInputs, spec: ExperimentSpec, place: TrainingPosition) -> None:
        super().__init__()
        self.inputs = inputs
        self.spec = spec
        self.place = place
        inputs.training.box_input = _box_input(spec)

    @property
    def seed(self) -> int:
        """Seed for the order of boxes and for all samples."""
        return self.inputs.training.seed

    def setup(self, stage: str) -> None:
        """Agree on the seed; if the spec leaves it open, every rank has drawn its own."""
        self.inputs.training.seed = self._trainer.strategy.broadcast(self.seed)

    def state_dict(self) -> dict[str, Any]:
        """State for the checkpoint."""
        return {"seed": self.seed}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore the run's own seed if the spec leaves it open."""
        if self.spec.train.seed < 0:
            self.inputs.training.seed = state_dict["seed"]

    def train_dataloader(self) -> DataLoader[TrainBatch]:
        """Training batches; the first epoch begins where the run resumes.

        The loader needs this position early: the trainer sets the epoch only after the workers have started to read.
        """
        loader = train_loader(
            self.inputs.training,
            batch_size=self.spec.train.batch_size,
            num_workers=self.spec.dataset.num_workers_per_gpu,
            rank=self._trainer.global_rank,
            world_size=self._trainer.world_size,
            pin_memory=self._trainer.strategy.root_device.type == "cuda",
            true_mask_share=self.spec.train.true_mask_share,
        )
        assert isinstance(loader.sampler, EpochSampler)
        loader.sampler.resume_at(self.place.epoch, self.place.num_batches * self.spec.train.batch_size)
        return loader

    def val_dataloader(self) -> CropLoader:
        """Crops of the validation set."""
        validation = self.inputs.validation
        assert validation is not None
        return crop_loader(
            validation.boxes_to_label,
            validation.img_dir,
            crop_settings(self.spec),
            batch_size=self.spec.evaluate.batch_size,
            num_workers=self.spec.dataset.num_workers_per_gpu,
            rank=self._trainer.global_rank,
            world_size=self._trainer.world_size,
        )

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Leave crops where they are: the network's inputs are made of them on its device."""
        if isinstance(batch, CropBatch):
            return batch
        return super().transfer_batch_to_device(batch, device, dataloader_idx)

    @property
    def _trainer(self) -> Trainer:
        assert self.trainer is not None
        return self.trainer


def _box_input(spec: ExperimentSpec) -> BoxInput | None:
    """How samples hold the box for the network; None where it takes none."""
    return BoxInput(spec.train.box_jitter, spec.train.box_dropout) if spec.model.decoder == "fpn" else None
