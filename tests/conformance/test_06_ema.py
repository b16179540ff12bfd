"""The teacher's moving average."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mal.models.ema import update_teacher
from tests.conformance.pack import absolute, assert_within, read_npz


@pytest.mark.parametrize("momentum", [0.996, 0.9])
def test_the_teacher_follows_the_student_as_in_the_public_code(golden, momentum):
    arrays = read_npz(golden / "06_ema.npz")
    teacher = nn.ParameterList([torch.from_numpy(arrays[f"m{momentum}_teacher0"])])
    for values, expected in zip(arrays[f"m{momentum}_student"], arrays[f"m{momentum}_teacher"], strict=True):
        update_teacher(teacher, nn.ParameterList([torch.from_numpy(values)]), momentum)
        assert_within("teacher", "six updates", absolute(teacher[0].detach(), expected), 1e-6)
