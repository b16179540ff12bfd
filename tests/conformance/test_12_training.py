"""Eight steps of training from the recipe's weights, beside the public code's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mal.losses.crf import MeanFieldSettings
from mal.losses.objective import batch_losses, warm_up_factor
from mal.models.ema import make_teacher, update_teacher
from tests.conformance.pack import areas, assert_within, network_input, read_json, read_npz, relative

EXACT_STEPS = 4  # afterwards a flipped pixel of a refined mask feeds back
MOMENTUM = 0.996
MIL_WEIGHT, CRF_WEIGHT = 4.0, 0.5


@dataclass(frozen=True)
class Trajectory:
    """A run of ours beside the golden one: a record for each step, and the networks at the end."""

    name: str
    golden: dict[str, Any]
    steps: list[dict[str, Any]]
    networks: dict[str, nn.Module]

    def tolerance(self, step: int) -> float:
        return 2e-5 if step < EXACT_STEPS else 1e-3


@pytest.fixture(scope="module", params=["default_a", pytest.param("stock_schedule", marks=pytest.mark.slow)])
def trajectory(public, recipe, request) -> Trajectory:
    folder: Path = public / "12_training"
    golden = read_json(folder / f"{request.param}.json")
    networks = {prefix: recipe.network(golden["arch"], "patch", f"{prefix}.") for prefix in ("student", "teacher")}
    return Trajectory(
        request.param, golden, _train(golden, read_npz(folder / f"{request.param}.npz"), networks), networks
    )


def test_losses_of_each_box_are_those_of_the_public_code(trajectory):
    for index, (step, expected) in enumerate(zip(trajectory.steps, trajectory.golden["steps"], strict=True)):
        when = f"{trajectory.name}, {'first 4 steps' if index < EXACT_STEPS else 'later steps'}"
        tolerance = trajectory.tolerance(index)
        for name in ("mil_raw_per_box", "crf_raw"):
            difference = relative(step[name], expected[name])
            assert_within("training", f"{when}, {name.split('_')[0]}", difference, tolerance, "relative")


def test_the_total_loss_of_each_step_is_that_of_the_public_code(trajectory):
    for index, (step, expected) in enumerate(zip(trajectory.steps, trajectory.golden["steps"], strict=True)):
        when = f"{trajectory.name}, {'first 4 steps' if index < EXACT_STEPS else 'later steps'}"
        difference = relative(step["total"], expected["total"])
        assert_within("training", f"{when}, total", difference, trajectory.tolerance(index), "relative")


def test_loss_weights_rise_as_in_the_public_code(trajectory):
    for step, expected in zip(trajectory.steps, trajectory.golden["steps"], strict=True):
        assert step["mil_weight"] == pytest.approx(expected["mil_weight"], rel=1e-12)
        assert step["crf_weight"] == pytest.approx(expected["crf_weight"], rel=1e-12)


def test_refined_masks_of_the_first_steps_have_as_many_pixels_as_those_of_the_public_code(trajectory):
    for step, expected in zip(trajectory.steps[:EXACT_STEPS], trajectory.golden["steps"], strict=False):
        difference = step["refined_fg"] - expected["refined_fg"]
        assert_within("training", f"{trajectory.name}, refined pixels", difference, 0, "pixels")


@pytest.mark.parametrize("network", ["student", "teacher"])
def test_weights_after_eight_steps_are_those_of_the_public_code(trajectory, network):
    tolerance = 1e-6 if trajectory.name == "stock_schedule" else 3e-5
    samples = trajectory.golden["params_after"][network]
    state = trajectory.networks[network].state_dict()
    compared = 0
    for key, index, value in zip(samples["key"], samples["index"], samples["value"], strict=True):
        tensor = state[key.removeprefix(f"{network}.")].flatten()
        if _is_key_bias(key, index, len(tensor)):
            continue
        compared += 1
        assert_within("training", f"{trajectory.name}, {network} weights", float(tensor[index]) - value, tolerance)
    assert compared >= 60


def _train(
    golden: dict[str, Any], batch: dict[str, np.ndarray], networks: dict[str, nn.Module]
) -> list[dict[str, Any]]:
    """Run the golden steps with our losses and our teacher, at the rates that the golden run used."""
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
    ramps = {name: golden["settings"].get(f"train.loss_{name}_step", steps) for name, steps in RAMP_STEPS.items()}
    records = []
    for expected in golden["steps"]:
        local_step = expected["step"] % golden["steps_per_epoch"]
        mil_weight, crf_weight = (warm_up_factor(expected["epoch"], local_step, ramps[name]) for name in ("mil", "crf"))
        with torch.no_grad():
            teacher_logits = teacher(images, box_area)
        losses = batch_losses(student(images, box_area), teacher_logits, images, box_mask, MeanFieldSettings())
        # The public code divides by B + 1e-4; ours takes the mean.
        mil = MIL_WEIGHT * mil_weight * losses.mil.sum() / (len(images) + 1e-4)
        crf = CRF_WEIGHT * crf_weight * losses.crf.mean()
        total = mil + crf
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
                "mil_weight": mil_weight,
                "crf_weight": crf_weight,
            }
        )
    return records


RAMP_STEPS = {"mil": 1000, "crf": 4000}


def _is_key_bias(key: str, index: int, length: int) -> bool:
    """Attention ignores these: their gradient is rounding noise, which Adam turns into steps of full size."""
    return key.endswith("attn.qkv.bias") and length // 3 <= index < 2 * length // 3
