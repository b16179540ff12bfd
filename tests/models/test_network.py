from __future__ import annotations

import pytest
import torch

from mal.models.network import MaskHead, RoiHead, bin_areas
from tests.small_networks import small_network

SMALL, MEDIUM, LARGE = 500.0, 5000.0, 50000.0


@pytest.mark.parametrize("num_convs", [1, 2, 3, 4, 5])
def test_the_mask_head_enlarges_once_however_many_convolutions_it_has(num_convs):
    head = MaskHead(16, num_convs=num_convs, hidden_channels=6, out_channels=4, scale_ratio=2)
    assert head(torch.rand(2, 16, 5, 7)).shape == (2, 4, 10, 14)
    assert len(head.convs) == num_convs


def test_heads_have_the_public_key_names():
    head = MaskHead(16, num_convs=4, hidden_channels=6, out_channels=4, scale_ratio=2)
    names = {f"convs.{index}.conv.{kind}" for index in range(4) for kind in ("weight", "bias")}
    assert set(head.state_dict()) == names
    assert set(RoiHead(16, 4).state_dict()) == {"mlp1.weight", "mlp1.bias", "mlp2.weight", "mlp2.bias"}


@pytest.mark.parametrize(("not_adjust_scale", "side"), [(False, 16), (True, 32)])
@pytest.mark.parametrize("area", [SMALL, MEDIUM, LARGE])
def test_logits_have_one_size_whatever_the_box(not_adjust_scale, side, area):
    network = small_network(not_adjust_scale=not_adjust_scale).eval()
    with torch.no_grad():
        logits = network(torch.rand(1, 3, 64, 64), torch.tensor([area]))
    assert logits.shape == (1, 1, side, side)


@pytest.mark.parametrize("ratio", [1, 2])
def test_features_may_be_enlarged_before_the_head(ratio):
    network = small_network(mask_scale_ratio_pre=ratio, not_adjust_scale=True).eval()
    with torch.no_grad():
        assert network(torch.rand(1, 3, 64, 64), torch.tensor([LARGE])).shape == (1, 1, 32, 32)


def test_logits_come_in_the_order_of_the_batch_whatever_the_sizes():
    network = small_network().eval()
    images = torch.rand(6, 3, 64, 64)
    areas = torch.tensor([LARGE, SMALL, MEDIUM, SMALL, LARGE, MEDIUM])
    with torch.no_grad():
        together = network(images, areas)
        for index in range(6):
            alone = network(images[index : index + 1], areas[index : index + 1])
            torch.testing.assert_close(together[index : index + 1], alone, atol=1e-5, rtol=1e-4)


def test_the_size_of_the_box_changes_the_logits_only_with_scale_adjustment():
    images = torch.rand(1, 3, 64, 64)
    for not_adjust_scale in (False, True):
        network = small_network(not_adjust_scale=not_adjust_scale).eval()
        with torch.no_grad():
            small, large = (network(images, torch.tensor([area])) for area in (SMALL, LARGE))
        assert torch.equal(small, large) == not_adjust_scale


def test_the_upper_end_belongs_to_the_lower_bin():
    areas = torch.tensor([1.0, 1024.0, 1024.5, 9216.0, 9216.5])
    assert bin_areas(areas).tolist() == [0, 0, 1, 1, 2]


def test_a_crop_of_one_patch_has_logits_for_a_small_box():
    network = small_network().eval()
    with torch.no_grad():
        assert network(torch.rand(1, 3, 16, 16), torch.tensor([SMALL])).shape == (1, 1, 4, 4)


def test_every_parameter_of_the_network_but_the_unused_classifier_learns():
    network = small_network()
    network(torch.rand(3, 3, 32, 32), torch.tensor([SMALL, MEDIUM, LARGE])).square().sum().backward()
    without = {name for name, parameter in network.named_parameters() if parameter.grad is None}
    assert without == {"backbone.head.weight", "backbone.head.bias"}
