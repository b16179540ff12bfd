"""How masks are predicted: which network is run, and how its output becomes probabilities."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from mal.data.label_dataset import CropBatch

NO_NUMBER = "the network gives values that are not numbers for it"
"""The reason given for such a failed box."""

Network = Literal["student", "teacher", "mixed"]
Profile = Literal["exact", "fast"]


@dataclass(frozen=True, slots=True)
class MeanFieldSettings:
    """Options of :func:`mal.ops.mean_field.mean_field`, named as there."""

    kernel_size: int = 3
    num_iter: int = 100
    zeta: float = 0.1
    low: float = 0.1
    high: float = 0.9


@dataclass(frozen=True, slots=True)
class PredictionMode:
    """How logits become probabilities, and these masks.

    Attributes:
        network: ``student``, ``teacher``, or ``mixed``: the mean of both networks' logits.
        flip: average with the logits of the mirrored crop.
        crf: refine the result by the colors of the crop; None leaves it.
        graph_cut: refine the mask after the threshold, see :mod:`mal.masks.refine`; ``auto`` only where that is
            expected to help, see :mod:`mal.masks.refine_choice`. It leaves the probabilities.
        profile: ``fast`` computes less for nearly the same masks, see :mod:`mal.models.predict`.
    """

    network: Network = "student"
    flip: bool = False
    crf: MeanFieldSettings | None = None
    graph_cut: bool | Literal["auto"] = False
    profile: Profile = "exact"


Array = npt.NDArray[np.float32]
PendingArray = Callable[[], Array]
"""Waits for values that a device is computing."""


class CropNetworks(Protocol):
    """Networks that predict the masks of crops: those of a checkpoint by PyTorch, or an exported one by onnxruntime."""

    @property
    def device(self) -> str:
        """Where they are run: ``cpu``, ``cuda``, ``cuda:<index>`` or ``mps``."""

    def start(self, batch: CropBatch, mode: PredictionMode) -> PendingArray:
        """Foreground probabilities in the pixels of each crop, once they are called for.

        Returns:
            Waits for (B, 1, S, S) float32 in 0..1; 0 outside the box. A crop with a logit that is not finite is NaN
            throughout, so that it is not mistaken for an empty mask; see `is_no_number`.
        """

    def on_one_thread(self) -> AbstractContextManager[None]:
        """Within the block a CPU runs them on one thread, in forked processes too."""

    def logits(self, batch: CropBatch, mode: PredictionMode) -> Array:
        """Mask logits, (B, 1, h, w) float32."""

    def instance_vectors(self, batch: CropBatch) -> Array:
        """The student's instance vectors, (B, D) float32.

        Raises:
            UserError: the network is exported, and so gives masks only.
        """


def is_no_number(probs: Array) -> bool:
    """Whether the network failed on a crop: its probabilities (S, S) are NaN, see :class:`CropNetworks`."""
    return bool(np.isnan(probs).any())
