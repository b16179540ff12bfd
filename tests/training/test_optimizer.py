from __future__ import annotations

import pytest
import torch

from mal.training.optimizer import make_optimizer
from tests.small_networks import small_fpn_network, small_network, small_spec


def made(network, **train):
    found = make_optimizer(network, small_spec(train=train).train, lambda step: 10.0**-step)
    return found["optimizer"], found["lr_scheduler"]["scheduler"]


@pytest.mark.parametrize("network", [small_network, small_fpn_network])
def test_two_rates_make_two_groups_of_all_trained_weights_the_backbone_s_first(network):
    student = network(frozen_stages=[0])
    (whole,) = made(student)[0].param_groups
    backbone, others = made(student, backbone_lr_rate=0.2)[0].param_groups
    joined = [*backbone["params"], *others["params"]]
    assert all(one is other for one, other in zip(joined, whole["params"], strict=True))
    of_backbone = {id(parameter) for parameter in student.backbone.parameters()}
    assert {id(parameter) in of_backbone for parameter in backbone["params"]} == {True}
    assert not any(id(parameter) in of_backbone for parameter in others["params"])


def test_the_backbone_s_rate_is_a_share_of_the_other_at_every_step():
    optimizer, scheduler = made(small_network(), backbone_lr_rate=0.25)
    for step in range(3):
        backbone, others = (group["lr"] for group in optimizer.param_groups)
        assert (backbone, others) == pytest.approx((0.25 * 10.0**-step, 10.0**-step))
        optimizer.step()
        scheduler.step()


def test_a_rate_of_0_leaves_the_backbone_as_it_is():
    student = small_network()
    optimizer, _ = made(student, backbone_lr_rate=0.0)
    before = {name: value.clone() for name, value in student.named_parameters()}
    student(torch.rand(1, 3, 32, 32), torch.ones(1)).sum().backward()
    optimizer.step()
    changed = {
        name.partition(".")[0] for name, value in student.named_parameters() if not torch.equal(value, before[name])
    }
    assert changed == {"roi_head", "mask_head"}


def test_the_state_of_a_run_from_before_there_were_two_rates_still_fits():
    student = small_network()
    earlier = torch.optim.AdamW([each for each in student.parameters() if each.requires_grad], lr=1.0)
    earlier_schedule = torch.optim.lr_scheduler.LambdaLR(earlier, lambda step: 1.0)
    student(torch.rand(1, 3, 32, 32), torch.ones(1)).sum().backward()
    earlier.step()
    optimizer, scheduler = made(student)
    optimizer.load_state_dict(earlier.state_dict())
    scheduler.load_state_dict(earlier_schedule.state_dict())
    assert optimizer.state_dict()["state"].keys() == earlier.state_dict()["state"].keys()
