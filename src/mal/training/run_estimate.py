"""How long a run is, and what it needs on the disk."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from mal.config.train_config import TrainConfig
from mal.models.network import MaskNetwork

BYTES_OF_ADAM = 8  # two float32 moments for each parameter


@dataclass(frozen=True, slots=True)
class DiskNeed:
    """Checkpoint files of a run beside the room for them.

    Attributes:
        file_bytes: size of one file.
        num_files: files at the moment when there are most of them.
        present_bytes: size of the checkpoints that are in the results folder already.
        free_bytes: free on the file system of the results folder.
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
        """Whether there is room for the files that are not there yet."""
        return self.run_bytes - self.present_bytes <= self.free_bytes


def disk_need(student: MaskNetwork, train: TrainConfig, steps_per_epoch: int, folder: Path) -> DiskNeed:
    """What the checkpoints of a run take.

    Args:
        student: one of the two networks.
        train: the section of the spec.
        steps_per_epoch: optimiser steps.
        folder: the results folder, which need not exist.
    """
    return DiskNeed(
        file_bytes=checkpoint_bytes(student),
        num_files=num_files(train, steps_per_epoch),
        present_bytes=checkpoints_present(folder),
        free_bytes=shutil.disk_usage(nearest_existing(folder)).free,
    )


def checkpoint_bytes(student: MaskNetwork) -> int:
    """Size of a checkpoint: student, teacher, and both moments of what is trained."""
    network = sum(tensor.nbytes for tensor in student.state_dict().values())
    trained = sum(parameter.numel() for parameter in student.parameters() if parameter.requires_grad)
    return 2 * network + BYTES_OF_ADAM * trained


def num_files(train: TrainConfig, steps_per_epoch: int) -> int:
    """Most files at a time: numbered ones, those kept for their score, the latest state, and one being written."""
    total = train.num_epochs if train.checkpoint_interval_unit == "epoch" else train.num_epochs * steps_per_epoch
    numbered = -(-total // train.checkpoint_interval)
    if train.keep_last_n:
        numbered = min(numbered, train.keep_last_n)
    best = min(train.keep_best, num_validations(train))
    return numbered + best + 2


def num_validations(train: TrainConfig, from_epoch: int = 0) -> int:
    """Validations of a run with some epochs done: after every so many epochs, and after the last one."""
    interval, num_epochs = train.validation_interval, train.num_epochs
    is_last_extra = num_epochs % interval != 0 and from_epoch < num_epochs
    return num_epochs // interval - from_epoch // interval + is_last_extra


def checkpoints_present(folder: Path) -> int:
    """Bytes of the checkpoints in a results folder; several names of one file count once."""
    files = {stat.st_ino: stat.st_size for stat in (path.stat() for path in folder.glob("*.pth"))}
    return sum(files.values())


def nearest_existing(folder: Path) -> Path:
    """The folder itself, or the nearest path above it that is there."""
    return next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
