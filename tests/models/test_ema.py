from __future__ import annotations

import pytest
import torch
from torch import nn

from mal.models.ema import make_teacher, update_teacher, warmed_up
from tests.small_networks import small_network


def test_the_teacher_starts_as_the_student_without_gradient_in_eval_mode():
    student = small_network().train()
    teacher = make_teacher(student)
    pairs = zip(student.parameters(), teacher.parameters(), strict=True)
    assert all(torch.equal(first, second) and first is not second for first, second in pairs)
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    assert not any(module.training for module in teacher.modules())
    assert student.training


def test_the_teacher_moves_towards_the_student_by_its_momentum():
    student = nn.Linear(2, 2)
    teacher = make_teacher(student)
    before = teacher.weight.clone()
    with torch.no_grad():
        student.weight += 1
    update_teacher(teacher, student, 0.9)
    torch.testing.assert_close(teacher.weight, before + 0.1)


def test_a_momentum_of_1_leaves_the_teacher_and_0_copies_the_student():
    student = nn.Linear(2, 2)
    teacher = make_teacher(student)
    before = teacher.weight.clone()
    with torch.no_grad():
        student.weight += 1
    update_teacher(teacher, student, 1.0)
    assert torch.equal(teacher.weight, before)
    update_teacher(teacher, student, 0.0)
    assert torch.equal(teacher.weight, student.weight)


def test_a_warm_teacher_starts_near_the_student_and_ends_at_its_momentum():
    assert warmed_up(0.999, 0) == pytest.approx(0.1)
    assert warmed_up(0.999, 90) == pytest.approx(0.91)
    assert warmed_up(0.999, 100_000) == 0.999
    assert warmed_up(0.05, 0) == 0.05
    momenta = [warmed_up(0.996, steps) for steps in range(3000)]
    assert momenta == sorted(momenta)


def test_buffers_are_copied():
    student = nn.BatchNorm1d(3)
    teacher = make_teacher(student)
    student(torch.randn(8, 3) + 5)
    update_teacher(teacher, student, 0.996)
    assert torch.equal(teacher.running_mean, student.running_mean)
    assert torch.equal(teacher.num_batches_tracked, student.num_batches_tracked)
