"""A training step whose teacher is carried along like a second student.

The teacher's forward pass keeps a graph that no one goes back through, its parameters stand in the optimiser beside the
student's, and its update makes a new tensor of every parameter.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor
from torch.optim import AdamW, Optimizer

from mal.losses import batch_losses
from mal.models.network import MaskNetwork
from mal.models.prediction_mode import MeanFieldSettings

MOMENTUM = 0.996


class WastefulTeacherStep:
    """One optimiser step after the other on the same crops.

    Args:
        student: the network that learns.
        settings: mean-field options.
    """

    def __init__(self, student: MaskNetwork, settings: MeanFieldSettings) -> None:
        self.student = student
        self.teacher = copy.deepcopy(student).eval()
        self.optimizer: Optimizer = AdamW([*self.student.parameters(), *self.teacher.parameters()], lr=1e-5)
        self._settings = settings

    def __call__(self, images: Tensor, box_mask: Tensor, box_area: Tensor) -> None:
        """Images (B, 3, S, S) and box masks (B, 1, S, S) float, areas (B,)."""
        student_logits = self.student(images, box_area)
        teacher_logits = self.teacher(images, box_area)
        losses = batch_losses(student_logits, teacher_logits, images, box_mask, self._settings)
        (losses.mil + losses.crf).mean().backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        with torch.no_grad():
            for ours, theirs in zip(self.teacher.parameters(), self.student.parameters(), strict=True):
                ours.data = MOMENTUM * ours.data + (1 - MOMENTUM) * theirs.data
