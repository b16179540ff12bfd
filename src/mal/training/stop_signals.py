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
    """Remembers that a signal has come, so that the run can stop between two steps with its state saved.

    SIGINT (Ctrl-C), SIGTERM, and within a SLURM job the signal that asks for a requeue. A second Ctrl-C stops at once.
    The trainer has handlers of its own, which save from within a step; these take their place.

    Attributes:
        received: number of the signal; None as long as none has come.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._requeue_signal: int | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the signals over; the trainer gives them back when it ends."""
        if SLURMEnvironment.detect():
            self._requeue_signal = signal.SIGUSR1
            signal.signal(signal.SIGUSR1, self._remember)
        signal.signal(signal.SIGTERM, self._remember)
        signal.signal(signal.SIGINT, self._remember)

    def stop(self, trainer: Trainer, saved: str) -> None:
        """End the run; within a SLURM job that was asked to, put it back into the queue.

        Args:
            trainer: of the run.
            saved: what was saved, for the message.

        Raises:
            StoppedBySignal: always.
        """
        # Where only another process got the signal, it is as if this one had got the usual one.
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
