"""Dice and MIL losses, with their gradients."""

from __future__ import annotations

import pytest
import torch

from mal.losses import dice_loss, mil_loss
from tests.conformance.pack import absolute, assert_within, read_npz, relative

SECTION = "losses"
LOSSES = {"dice": dice_loss, "mil": mil_loss}
CONSTANTS = {"zero": 0.0, "one": 1.0}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("case", range(3))
def test_losses_and_their_gradients_are_those_of_the_public_code(golden, name, case):
    arrays = read_npz(golden / "04_losses.npz")
    prob = torch.from_numpy(arrays[f"pred_{case}"]).requires_grad_()
    loss = LOSSES[name](prob, torch.from_numpy(arrays[f"target_{case}"]))
    assert_within(SECTION, name, relative(loss.detach(), arrays[f"{name}_{case}"]), 1e-5, "relative")
    if f"{name}_grad_{case}" in arrays:
        loss.sum().backward()
        assert_within(SECTION, f"{name}, gradient", absolute(prob.grad, arrays[f"{name}_grad_{case}"]), 1e-6)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("case", ["zero_zero", "one_one", "zero_one"])
def test_losses_of_constant_maps_are_those_of_the_public_code(golden, name, case):
    prob, target = (torch.full((2, 5, 5), CONSTANTS[value]) for value in case.split("_"))
    expected = read_npz(golden / "04_losses.npz")[f"{name}_{case}"]
    assert_within(SECTION, f"{name}, constant maps", relative(LOSSES[name](prob, target), expected), 1e-5, "relative")
