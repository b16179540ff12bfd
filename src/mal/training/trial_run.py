"""Trial steps of a dry run, and the estimate of time, memory and disk made from them."""

from __future__ import annotations

import math
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.fabric.plugins.environments.lightning import LightningEnvironment

from mal.config.schema import ExperimentSpec
from mal.config.train_config import TrainConfig
from mal.data.label_dataset import CropBatch
from mal.data.train_dataset import BoxCropDataset, EpochSampler, collate
from mal.errors import UserError
from mal.models.fpn_network import AnyMaskNetwork
from mal.runtime.devices import DevicePlan, peak_bytes_of_process
from mal.training.callbacks import StepSeeds
from mal.training.datamodule import TrainingData
from mal.training.inputs import TrainingInputs
from mal.training.module import MalModule

BYTES_OF_ADAM = 8  # two float32 moments for each parameter


@dataclass(frozen=True, slots=True)
class DiskNeed:
    """Disk need of a run's checkpoints, and free space.

    Attributes:
        file_bytes: size of one file.
        num_files: largest number of files at any time.
        present_bytes: size of the checkpoints already in the results folder.
        free_bytes: free space on the file system of the results folder.
    """

    file_bytes: int
    num_files: int
    present_bytes: int
    free_bytes: int

    @property
    def run_bytes(self) -> int:
        """Size of all files of the run."""
        return self.file_bytes * self.num_files

    @property
    def fits(self) -> bool:
        """Whether there is space for the files still to be written."""
        return self.run_bytes - self.present_bytes <= self.free_bytes


def disk_need(student: AnyMaskNetwork, train: TrainConfig, steps_per_epoch: int, folder: Path) -> DiskNeed:
    """Estimate the disk need of a run's checkpoints.

    Args:
        student: one of the two networks.
        train: the section of the spec.
        steps_per_epoch: optimizer steps of an epoch.
        folder: the results folder, which need not exist.
    """
    return DiskNeed(
        file_bytes=checkpoint_bytes(student),
        num_files=num_files(train, steps_per_epoch),
        present_bytes=checkpoints_present(folder),
        free_bytes=shutil.disk_usage(nearest_existing(folder)).free,
    )


def checkpoint_bytes(student: AnyMaskNetwork) -> int:
    """Size of a checkpoint: student, teacher, and both moments of trained parameters."""
    network = sum(tensor.nbytes for tensor in student.state_dict().values())
    trained = sum(parameter.numel() for parameter in student.parameters() if parameter.requires_grad)
    return 2 * network + BYTES_OF_ADAM * trained


def num_files(train: TrainConfig, steps_per_epoch: int) -> int:
    """Largest number of files: numbered ones, those kept for their score, the latest state, and one being written."""
    total = train.num_epochs if train.checkpoint_interval_unit == "epoch" else train.num_epochs * steps_per_epoch
    numbered = -(-total // train.checkpoint_interval)
    if train.keep_last_n:
        numbered = min(numbered, train.keep_last_n)
    best = min(train.keep_best, num_validations(train))
    return numbered + best + 2


def num_validations(train: TrainConfig, from_epoch: int = 0) -> int:
    """Number of remaining validations: at the interval, and after the last epoch."""
    interval, num_epochs = train.validation_interval, train.num_epochs
    is_last_extra = num_epochs % interval != 0 and from_epoch < num_epochs
    return num_epochs // interval - from_epoch // interval + is_last_extra


def checkpoints_present(folder: Path) -> int:
    """Bytes of the checkpoints in a results folder; hard links count once."""
    files = {stat.st_ino: stat.st_size for stat in (path.stat() for path in folder.glob("*.pth"))}
    return sum(files.values())


def nearest_existing(folder: Path) -> Path:
    """The folder itself, or its nearest existing parent."""
    return next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())


TRIAL_STEPS = 2


@dataclass(frozen=True, slots=True)
class Trial:
    """Measurements on one device.

    Attributes:
        first_step: seconds of the first step, which includes warm-up.
        step: seconds of the second step, without reading.
        reading: seconds in which one process reads and crops a batch.
        validation_box: seconds for each box of a validation batch, without reading; None without validation.
        peak_bytes: peak memory of the GPU, otherwise of this process.
    """

    first_step: float
    step: float
    reading: float
    validation_box: float | None
    peak_bytes: int

    def seconds_per_step(self, *, readers: int, batches_per_step: int) -> float:
        """Seconds of a step with reading its batches, which DataLoader workers do in parallel.

        Args:
            readers: DataLoader workers that run in parallel; 0 if the training process reads.
            batches_per_step: accumulated batches of a step.
        """
        reading = self.reading * batches_per_step
        return max(self.step, reading / readers) if readers else self.step + reading


def try_steps(
    module: MalModule, spec: ExperimentSpec, plan: DevicePlan, inputs: TrainingInputs, data: TrainingData
) -> Trial:
    """Train two steps on one device of the plan and validate one batch; leaves no files.

    Args:
        module: trained, and so changed.
        spec: the whole spec.
        plan: devices of the run.
        inputs: checked boxes and masks.
        data: loaders of the run, from its start.

    Raises:
        UserError: the step does not fit into memory, its loss is not finite, or an image cannot be read.
    """
    on_gpu = plan.accelerator == "gpu"
    reading = _seconds_to_read(inputs.training, spec.train.batch_size)
    clock = StepClock(torch.cuda.synchronize if on_gpu else lambda: None)
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(_first_device(plan))
    with tempfile.TemporaryDirectory(prefix="mal_dry_run_") as folder:
        trainer = Trainer(
            **_one_device(plan).trainer_arguments(),
            max_steps=TRIAL_STEPS,
            accumulate_grad_batches=spec.train.accum_grad_batches,
            limit_train_batches=TRIAL_STEPS * spec.train.accum_grad_batches,
            limit_val_batches=1 if inputs.validation else 0,
            num_sanity_val_steps=0,
            plugins=[LightningEnvironment()],  # the trial is independent of any launcher
            logger=False,
            callbacks=[StepSeeds(inputs.training), clock],
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
            use_distributed_sampler=False,
            default_root_dir=folder,
        )
        try:
            trainer.fit(module, datamodule=data)
        except torch.OutOfMemoryError as error:
            raise UserError(
                f"train.batch_size = {spec.train.batch_size} does not fit into the memory of the GPU at"
                f" dataset.crop_size = {spec.dataset.crop_size}; lower one of them"
            ) from error
    return Trial(
        first_step=clock.steps[0],
        step=clock.steps[-1],
        reading=reading,
        validation_box=clock.validation_box,
        peak_bytes=torch.cuda.max_memory_reserved(_first_device(plan)) if on_gpu else peak_bytes_of_process(),
    )


class StepClock(Callback):
    """Times steps and validation, without reading."""

    def __init__(self, wait_for_device: Callable[[], None]) -> None:
        self.steps: list[float] = []
        self.validation_box: float | None = None
        self._wait_for_device = wait_for_device
        self._started = 0.0
        self._batches: list[float] = []

    def on_train_batch_start(self, *args: Any) -> None:
        """Start the clock."""
        self._started = self._now()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        """Stop it; a step may take several batches.

        Raises:
            UserError: the loss is not finite.
        """
        self._batches.append(self._now() - self._started)
        loss = float(trainer.callback_metrics["train/loss"])
        if not math.isfinite(loss):
            raise UserError(f"the loss of step {len(self.steps) + 1} is {loss}: lower train.lr, or check the weights")
        if trainer.global_step > len(self.steps):
            self.steps.append(sum(self._batches))
            self._batches.clear()

    def on_validation_batch_start(self, *args: Any) -> None:
        """Start the clock."""
        self._started = self._now()

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: CropBatch, *args: Any
    ) -> None:
        """Stop it."""
        if len(batch):
            self.validation_box = (self._now() - self._started) / len(batch)

    def _now(self) -> float:
        self._wait_for_device()
        return time.perf_counter()


def _seconds_to_read(boxes: BoxCropDataset, batch_size: int) -> float:
    """Time to read a batch in this process, with no images cached."""
    keys = list(islice(EpochSampler(len(boxes), seed=boxes.seed), batch_size))
    started = time.perf_counter()
    collate([boxes[key] for key in keys])
    return time.perf_counter() - started


def _one_device(plan: DevicePlan) -> DevicePlan:
    devices = 1 if isinstance(plan.devices, int) else plan.devices[:1]
    return replace(plan, devices=devices, num_nodes=1, strategy="auto")


def _first_device(plan: DevicePlan) -> int:
    return 0 if isinstance(plan.devices, int) else plan.devices[0]
