from __future__ import annotations

import pytest
import torch

from mal.data.box_input import INSIDE, OUTSIDE, UNKNOWN
from mal.errors import UserError
from mal.models.backbones.timm_backbone import TimmPyramid
from mal.models.fpn_network import FpnNetwork, signed_box
from tests.small_networks import small_fpn_network, small_network

AREAS = torch.tensor([100.0, 10_000.0])


def box_mask(value: int = INSIDE, side: int = 64) -> torch.Tensor:
    mask = torch.full((2, 1, side, side), OUTSIDE, dtype=torch.uint8)
    mask[:, :, 16:40, 8:48] = value
    return mask


@pytest.mark.parametrize("arch", ["timm/test_efficientnet", "timm/test_convnext", "timm/test_resnet"])
@pytest.mark.parametrize("size", [(64, 64), (70, 128)])
def test_logits_of_a_network_with_strides_are_at_stride_4(arch, size):
    with torch.no_grad():
        logits = small_fpn_network(arch=arch).eval()(torch.rand(2, 3, *size), AREAS, torch.ones(2, 1, *size))
    assert logits.shape == (2, 1, *(round(side / 32) * 8 for side in size))


@pytest.mark.parametrize(("arch", "side"), [("timm/test_vit", 16), ("timm/eva02_tiny_patch14_224", 20)])
def test_logits_of_a_plain_transformer_are_four_times_as_fine_as_its_grid(arch, side):
    network = small_fpn_network(arch=arch, num_blocks=4).eval()
    with torch.no_grad():
        assert network(torch.rand(2, 3, 64, 64), AREAS, box_mask()).shape == (2, 1, side, side)


@pytest.mark.parametrize(
    "name", ["tf_efficientnet_lite0", "tf_efficientnet_lite2", "convnext_tiny", "vit_base_patch16_224"]
)
def test_the_decoder_has_a_third_to_two_thirds_of_a_million_weights(name):
    with torch.device("meta"):
        decoder = FpnNetwork(TimmPyramid(name)).fpn
    assert 0.3e6 < sum(parameter.numel() for parameter in decoder.parameters()) < 0.6e6


def test_the_strides_hold_whatever_size_of_images_a_model_was_trained_with():
    with torch.device("meta"):
        assert TimmPyramid("tf_efficientnet_lite2").stride == 32  # trained at 260, which 32 does not divide


def test_each_box_is_treated_by_itself_whatever_its_size():
    network, images = small_fpn_network().eval(), torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        together = network(images, AREAS, box_mask())
        alone = network(images[1:], AREAS[:1], box_mask()[1:])
    torch.testing.assert_close(together[1:], alone, atol=1e-5, rtol=1e-4)


def test_the_box_counts_and_none_is_an_unknown_one():
    network, images = small_fpn_network().eval(), torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        known, unknown = network(images, AREAS, box_mask()), network(images, AREAS)
        assert torch.equal(network(images, AREAS, torch.full_like(box_mask(), UNKNOWN)), unknown)
    assert not torch.allclose(known, unknown)


def test_an_unknown_box_is_the_mean_of_inside_and_outside():
    values = torch.tensor([OUTSIDE, UNKNOWN, INSIDE], dtype=torch.uint8)
    assert signed_box(values).tolist() == [-1.0, 0.0, 1.0]


def test_every_weight_takes_part():
    network = small_fpn_network()
    network(torch.rand(2, 3, 64, 64), AREAS, box_mask()).square().sum().backward()
    assert [name for name, each in network.named_parameters() if each.grad is None] == []


def test_instance_vectors_are_one_of_each_crop():
    assert small_fpn_network().eval().instance_vectors(torch.rand(2, 3, 64, 64)).shape == (2, 64)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ({"arch": "timm/levit_128"}, r"strides 4, 8, 16 and 32 .*levit_128 has strides 16, 32, 64"),
        ({"arch": "timm/test_vit", "num_blocks": 3}, "test_vit has 3 blocks"),
        ({"arch": "vit-deit-tiny/16"}, r"not vit-deit-tiny/16 \(the same network is timm/deit_tiny_patch16_224"),
        (
            {"arch": "fan_tiny_12_p16_224"},
            r"not fan_tiny_12_p16_224: those with strides, as timm/tf_efficientnet_lite0",
        ),
    ],
)
def test_a_backbone_that_gives_no_pyramid_is_refused_with_others_named(model, reason):
    with pytest.raises(UserError, match=rf"^model\.decoder: fpn takes .*{reason}"):
        small_fpn_network(**model)


def running_means(network) -> list[torch.Tensor]:
    return [buffer.clone() for name, buffer in network.named_buffers() if name.endswith("running_mean")]


@pytest.mark.parametrize(("choice", "changes"), [("train", True), ("frozen", False)])
def test_frozen_batch_norms_keep_their_statistics_and_learn_their_weights(choice, changes):
    network = small_fpn_network(batch_norm=choice).train()
    before = running_means(network)
    network(torch.rand(2, 3, 64, 64), AREAS, box_mask()).sum().backward()
    assert any(not torch.equal(*pair) for pair in zip(before, running_means(network), strict=True)) == changes
    assert all(parameter.grad is not None for parameter in network.backbone.parameters())


def test_batch_norms_of_the_paper_s_decoder_can_be_frozen_too():
    network = small_network(arch="timm/test_efficientnet", num_blocks=None, batch_norm="frozen").train()
    before = running_means(network)
    network(torch.rand(2, 3, 64, 64), AREAS)
    assert all(torch.equal(*pair) for pair in zip(before, running_means(network), strict=True))


def test_stages_of_a_pyramid_can_be_frozen_its_stem_with_the_norm_beside_it():
    network = small_fpn_network(frozen_stages=[0, 1]).train()
    learns = {name for name, each in network.backbone.model.named_parameters() if each.requires_grad}
    assert not any(name.startswith(("conv_stem.", "bn1.", "blocks.0.")) for name in learns)
    assert any(name.startswith("blocks.1.") for name in learns)
    assert not network.backbone.model.bn1.training
