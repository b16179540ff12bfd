"""Eight steps of training from the recipe's weights, beside the public code's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from torch import nn

from tests.conformance.pack import assert_within, network_of, read_json, relative
from tests.conformance.training_steps import loss_weights, total_loss, train
from tests.shared_data import has_shared_data

EXACT_STEPS = 4  # afterwards a flipped pixel of a refined mask feeds back
RUNS = [("regression", "default_a")]
if has_shared_data():
    RUNS += [("pack", "default_a"), pytest.param(("pack", "stock_schedule"), marks=pytest.mark.slow)]


@dataclass(frozen=True)
class Trajectory:
    """A run of ours beside the golden one: a record for each step, and the networks at the end."""

    name: str
    golden: dict[str, Any]
    steps: list[dict[str, Any]]
    networks: dict[str, nn.Module]

    def tolerance(self, step: int) -> float:
        return 2e-5 if step < EXACT_STEPS else 1e-3


@pytest.fixture(scope="module", params=RUNS, ids=lambda run: "-".join(run))
def trajectory(case_sets, request) -> Trajectory:
    cases, name = case_sets[request.param[0]], request.param[1]
    golden = read_json(cases.folder / f"12_training/{name}.json")
    networks = {prefix: network_of(golden["arch"], "patch", f"{prefix}.") for prefix in ("student", "teacher")}
    steps = train(golden, cases.arrays(f"12_training/{name}.npz"), networks)
    return Trajectory(name, golden, steps, networks)


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


@pytest.mark.parametrize("name", ["default_a", "stock_schedule"])
def test_loss_weights_rise_as_in_the_public_code(golden, name):
    course = read_json(golden / f"12_training/{name}.json")
    for step in course["steps"]:
        assert loss_weights(course, step) == pytest.approx((step["mil_weight"], step["crf_weight"]), rel=1e-12)


@pytest.mark.parametrize("name", ["default_a", "stock_schedule"])
def test_losses_of_boxes_add_up_to_the_total_as_in_the_public_code(golden, name):
    course = read_json(golden / f"12_training/{name}.json")
    for step in course["steps"]:
        boxes = step["mil_raw_per_box"]
        total = total_loss(sum(boxes), step["crf_raw"], loss_weights(course, step), len(boxes))
        assert total == pytest.approx(step["total"], rel=1e-5, abs=1e-6)


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


def _is_key_bias(key: str, index: int, length: int) -> bool:
    """Attention ignores these: their gradient is rounding noise, which Adam turns into steps of full size."""
    return key.endswith("attn.qkv.bias") and length // 3 <= index < 2 * length // 3
