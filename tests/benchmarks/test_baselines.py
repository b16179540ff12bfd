"""A benchmark is worth something only if both sides compute the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.baselines.unfold_mean_field import unfold_mean_field
from benchmarks.baselines.wasteful_teacher import WastefulTeacherStep
from benchmarks.mean_field import assert_same_result, make_inputs
from benchmarks.teacher_memory import SETTINGS, FreeTeacherStep, inputs
from mal.ops.mean_field import mean_field
from tests.conformance.extract import GOLDEN
from tests.small_networks import small_network


@pytest.mark.parametrize("kernel_size", [1, 3, 5])
@pytest.mark.parametrize("num_iter", [0, 1, 7])
def test_the_unfolding_baseline_and_the_product_give_the_same_probabilities(kernel_size, num_iter):
    inputs = make_inputs(batch=2, side=24)
    options = {"kernel_size": kernel_size, "num_iter": num_iter}
    torch.testing.assert_close(unfold_mean_field(*inputs, **options), mean_field(*inputs, **options), atol=1e-4, rtol=0)


def test_they_agree_with_other_clamps_and_another_bandwidth():
    inputs = make_inputs(batch=1, side=20, seed=3)
    options = {"num_iter": 5, "zeta": 0.4, "low": 0.2, "high": 0.7}
    torch.testing.assert_close(unfold_mean_field(*inputs, **options), mean_field(*inputs, **options), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("case", "options"), [("clamp0.05_0.95_i2", {"num_iter": 2, "low": 0.05, "high": 0.95})])
def test_the_baseline_gives_the_golden_probabilities(case, options):
    with np.load(GOLDEN / "03_meanfield/synthetic_64x80.npz") as golden:
        image, seg, targets, soft = (
            torch.from_numpy(golden[name]) for name in ("image", "seg", "targets", f"soft_{case}_t1")
        )
    torch.testing.assert_close(unfold_mean_field(image, seg, targets, **options), soft, atol=1e-4, rtol=0)


def test_a_benchmark_refuses_results_that_differ():
    ones = torch.ones(1, 8, 8)
    with pytest.raises(AssertionError, match="pixels agree"):
        assert_same_result(ones, 0.9 * ones)


def test_a_free_teacher_and_a_wasteful_one_come_to_the_same_weights():
    steps = [side(small_network().train(), SETTINGS) for side in (WastefulTeacherStep, FreeTeacherStep)]
    for step in steps:
        for _ in range(2):
            step(*inputs(batch=2, side=32))
    for name in ("student", "teacher"):
        ours, theirs = (getattr(step, name).state_dict() for step in steps)
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)


@pytest.mark.gpu
@pytest.mark.parametrize("kernel_size", [3, 5])
def test_both_sides_agree_on_a_gpu_too(kernel_size):
    inputs = [tensor.cuda() for tensor in make_inputs(batch=4, side=64)]
    assert_same_result(
        unfold_mean_field(*inputs, kernel_size=kernel_size, num_iter=20),
        mean_field(*inputs, kernel_size=kernel_size, num_iter=20),
    )
