"""Signals that ask a run to stop: Ctrl-C, SIGTERM, SLURM."""

from __future__ import annotations

import os
import signal
import subprocess
from types import FrameType

from lightning import Callback, LightningModule, Trainer
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment

from mal.console import console
from mal.errors import StoppedBySignal


class StopSignals(Callback):
    """Records signals, so that the run can stop between two steps with its state saved.

    Handles SIGINT (Ctrl-C), SIGTERM, and in a SLURM job the requeue signal. A second Ctrl-C stops at once. These
    handlers replace the trainer's, which save from within a step.

    Attributes:
        received: number of the signal; None before one has come.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._requeue_signal: int | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Install the handlers; the trainer restores the old ones at its end."""
        if SLURMEnvironment.detect():
            self._requeue_signal = signal.SIGUSR1
            signal.signal(signal.SIGUSR1, self._remember)
        signal.signal(signal.SIGTERM, self._remember)
        signal.signal(signal.SIGINT, self._remember)

    def stop(self, trainer: Trainer, saved: str) -> None:
        """End the run; requeue it if SLURM asked for that.

        Args:
            trainer: the run's trainer.
            saved: the saved file, for the message.

        Raises:
            StoppedBySignal: always.
        """
        # If only another rank got the signal, act as if this one had got the usual one.
        number = self.received or signal.SIGTERM
        if number == self._requeue_signal and trainer.is_global_zero:
            requeue_job()
        raise StoppedBySignal(number, f"{saved}; the same command goes on from there")

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self.received == number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = number
        console.print(f"{signal.Signals(number).name}: stopping after this step")


def requeue_job() -> None:
    """Ask SLURM to start this job again, with the same command."""
    array_job, job = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ["SLURM_JOB_ID"]
    name = f"{array_job}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array_job else job
    try:
        subprocess.run(["scontrol", "requeue", name], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        console.print(f"SLURM did not requeue job {name}: {error}")
