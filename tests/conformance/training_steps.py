"""Steps of training with our losses and our teacher, along the course of a golden run."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from mal.losses import batch_losses, warm_up_factor
from mal.models.ema import make_teacher, update_teacher
from mal.models.prediction_mode import MeanFieldSettings
from tests.conformance.pack import areas, network_input

MOMENTUM = 0.996
MIL_WEIGHT, CRF_WEIGHT = 4.0, 0.5
RAMP_STEPS = {"mil": 1000, "crf": 4000}


def loss_weights(course: dict[str, Any], step: dict[str, Any]) -> tuple[float, float]:
    """How much of the MIL and of the CRF loss counts in a step of a golden run, in 0..1."""
    local_step = step["step"] % course["steps_per_epoch"]
    mil, crf = (course["settings"].get(f"train.loss_{name}_step", steps) for name, steps in RAMP_STEPS.items())
    return warm_up_factor(step["epoch"], local_step, mil), warm_up_factor(step["epoch"], local_step, crf)


def total_loss(mil: Any, crf: Any, weights: tuple[float, float], num_boxes: int) -> Any:
    """The loss of a step from the sum of the boxes' MIL losses and the mean of their CRF losses.

    The public code divides by B + 1e-4; ours takes the mean.
    """
    return MIL_WEIGHT * weights[0] * mil / (num_boxes + 1e-4) + CRF_WEIGHT * weights[1] * crf


def train(course: dict[str, Any], batch: dict[str, np.ndarray], networks: dict[str, nn.Module]) -> list[dict[str, Any]]:
    """Run the steps of a golden run, at the rates that it used; returns a record of each step."""
    student, teacher = networks["student"].train(), make_teacher(networks["teacher"])
    networks["teacher"] = teacher
    optimizer = torch.optim.AdamW(
        [parameter for parameter in student.parameters() if parameter.requires_grad],
        betas=(0.9, 0.9),
        eps=1e-8,
        weight_decay=5e-4,
    )
    images, box_area = network_input(batch["image_u8"]), areas(batch["bbox"])
    box_mask = torch.from_numpy(batch["mask"])
    records = []
    for expected in course["steps"]:
        weights = loss_weights(course, expected)
        with torch.no_grad():
            teacher_logits = teacher(images, box_area)
        losses = batch_losses(student(images, box_area), teacher_logits, images, box_mask, MeanFieldSettings())
        total = total_loss(losses.mil.sum(), losses.crf.mean(), weights, len(images))
        optimizer.param_groups[0]["lr"] = expected["lr_used"]
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        update_teacher(teacher, student, MOMENTUM)
        records.append(
            {
                "total": total.item(),
                "mil_raw_per_box": losses.mil.tolist(),
                "crf_raw": losses.crf.mean().item(),
                "refined_fg": losses.refined.sum().item(),
            }
        )
    return records
