from __future__ import annotations

import copy

import pytest
import timm
import torch

from mal.data.crops import IMAGENET_MEAN, IMAGENET_STD
from mal.errors import UserError
from mal.models.backbones.registry import build_backbone
from mal.models.backbones.timm_backbone import TimmBackbone, TimmPyramid
from tests.small_networks import small_network

# Of each kind the smallest that timm has; whole blocks would only take time.
PLAIN = {
    "vit_tiny_patch16_224": (192, 16),
    "vit_small_patch8_224": (384, 8),
    "vit_small_patch14_dinov2": (384, 14),
    "vit_small_patch14_reg4_dinov2": (384, 14),
    "vit_small_patch16_dinov3": (384, 16),
    "eva02_tiny_patch14_224": (192, 14),
    "deit3_small_patch16_224": (384, 16),
    "deit_tiny_distilled_patch16_224": (192, 16),
    "vit_base_patch16_siglip_gap_224": (768, 16),
    "samvit_base_patch16": (256, 16),
}
HIERARCHICAL = {
    "test_convnext": (48, 16),
    "test_resnet": (192, 16),
    "swin_tiny_patch4_window7_224": (384, 16),
    "sam2_hiera_tiny": (384, 16),
    "pvt_v2_b0": (160, 16),
}


def features(backbone, height: int, width: int | None = None) -> torch.Tensor:
    with torch.no_grad():
        return backbone.eval()(torch.rand(2, 3, height, width or height))


@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_transformer_gives_its_patch_tokens_on_their_grid(name):
    backbone = build_backbone(f"timm/{name}", num_blocks=1)
    width, stride = PLAIN[name]
    assert (backbone.embed_dim, backbone.stride) == (width, stride)
    cells = round(160 / stride)
    assert features(backbone, 160).shape == (2, width, cells, cells)
    assert features(backbone, 64, 97).shape == (2, width, round(64 / stride), round(97 / stride))


@pytest.mark.parametrize("name", HIERARCHICAL)
def test_a_hierarchical_network_gives_its_stage_of_stride_16(name):
    backbone = build_backbone(f"timm/{name}")
    width, stride = HIERARCHICAL[name]
    assert (backbone.embed_dim, backbone.stride) == (width, stride)
    assert features(backbone, 160).shape == (2, width, 10, 10)
    assert features(backbone, 128, 90).shape == (2, width, 8, 6)


def test_a_hierarchical_networks_channels_have_mean_0_and_deviation_1():
    maps = features(build_backbone("timm/test_convnext"), 64)
    torch.testing.assert_close(maps.mean(1), torch.zeros(2, 4, 4), atol=1e-5, rtol=0)
    torch.testing.assert_close(maps.std(1, correction=0), torch.ones(2, 4, 4), atol=1e-2, rtol=0)


def test_a_model_that_takes_one_size_only_gets_crops_of_that_size():
    backbone = build_backbone("timm/beit_base_patch16_224", num_blocks=1)
    assert backbone.fixed_size == (224, 224)
    assert features(backbone, 128).shape == (2, 768, 14, 14)


def test_the_same_weights_give_the_same_features_under_the_public_name_and_timms():
    ours = build_backbone("vit-deit-tiny/16", num_blocks=2).eval()
    timms = build_backbone("timm/deit_tiny_patch16_224", num_blocks=2).eval()
    timms.load_state_dict({name: value for name, value in ours.state_dict().items() if not name.startswith("head.")})
    images = torch.rand(1, 3, 128, 128)
    with torch.no_grad():
        torch.testing.assert_close(timms(images), ours(images))


def test_the_tensors_have_timms_own_names():
    name = "test_vit"
    released = timm.create_model(name, num_classes=0).state_dict()
    backbone = build_backbone(f"timm/{name}")
    assert list(backbone.state_dict()) == list(released)
    backbone.load_state_dict(released)
    torch.testing.assert_close(backbone.state_dict(), released)
    torch.testing.assert_close(copy.deepcopy(backbone).state_dict(), released)


def test_a_network_on_a_timm_backbone_is_saved_and_loaded_whole():
    network = small_network(arch="timm/test_vit", num_blocks=1)
    names = list(network.state_dict())
    assert "backbone.blocks.0.norm1.weight" in names
    assert not [name for name in names if name.startswith("backbone.model.")]
    other = copy.deepcopy(network)
    torch.nn.init.zeros_(other.backbone.model.blocks[0].norm1.weight)
    other.load_state_dict(network.state_dict())
    torch.testing.assert_close(other.state_dict(), network.state_dict())


def test_every_weight_of_a_timm_backbone_takes_part():
    for name in ("test_vit", "test_convnext", "vit_small_patch14_reg4_dinov2", "samvit_base_patch16"):
        backbone = build_backbone(f"timm/{name}", num_blocks=None if name == "test_convnext" else 1)
        backbone(torch.rand(1, 3, 64, 64)).sum().backward()
        assert not [key for key, parameter in backbone.named_parameters() if parameter.grad is None], name


def test_crops_come_to_the_model_in_the_colours_that_it_was_trained_with():
    backbone = build_backbone("timm/test_vit", num_blocks=1).eval()  # mean and deviation 0.5
    seen = []
    backbone.model.patch_embed.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    pixels = torch.rand(1, 3, 32, 32)
    mean, std = (torch.tensor(value).view(3, 1, 1) for value in (IMAGENET_MEAN, IMAGENET_STD))
    with torch.no_grad():
        backbone((pixels - mean) / std)
    torch.testing.assert_close(seen[0], (pixels - 0.5) / 0.5)


def test_a_misspelt_timm_name_gets_the_nearest_ones():
    with pytest.raises(
        UserError, match=r"^model\.arch: timm has no model vit_tiny_patch61_224; did you mean .*timm/vit_"
    ):
        build_backbone("timm/vit_tiny_patch61_224")


def test_an_unknown_set_of_weights_gets_the_known_ones():
    with pytest.raises(UserError, match=r"timm has no weights dinov9 of vit_base_patch16_224; there are .*mae"):
        build_backbone("timm/vit_base_patch16_224.dinov9")


@pytest.mark.parametrize("name", ["hf_hub:somebody/something", "local-dir:/somewhere"])
def test_only_models_that_timm_itself_has_are_built(name):
    with pytest.raises(UserError, match="timm has no model"):
        build_backbone(f"timm/{name}")


def test_a_model_without_a_feature_map_is_a_mistake():
    with pytest.raises(UserError, match=r"^model\.arch: timm/gemma4_vit_167m gives no feature map"):
        TimmBackbone("gemma4_vit_167m")


def test_the_first_blocks_of_a_hierarchical_network_cannot_be_asked_for():
    with pytest.raises(UserError, match=r"model\.num_blocks: timm/test_convnext has stages of different strides"):
        build_backbone("timm/test_convnext", num_blocks=2)


def test_more_blocks_than_a_timm_model_has_are_a_mistake():
    with pytest.raises(UserError, match=r"model\.num_blocks: 13 is more than the 12 blocks of timm/vit_tiny"):
        build_backbone("timm/vit_tiny_patch16_224", num_blocks=13)


def test_stochastic_depth_of_a_model_that_has_none_is_a_mistake():
    with pytest.raises(UserError, match=r"model\.vit_dpr: timm/vgg11 has no stochastic depth"):
        build_backbone("timm/vgg11", drop_path=0.1)


@pytest.mark.parametrize(
    ("name", "stages", "frozen"),
    [
        ("test_vit", [0], ["patch_embed"]),
        ("test_vit", [1, 2], ["blocks.0", "blocks.1"]),
        ("test_convnext", [0, 1], ["stem", "stages.0"]),
        ("swin_tiny_patch4_window7_224", [0, 1], ["patch_embed", "layers.0"]),
    ],
)
def test_frozen_stages_of_a_timm_model_take_no_gradient(name, stages, frozen):
    backbone = build_backbone(f"timm/{name}")
    backbone.freeze(stages)
    backbone.train()
    parts = tuple(f"{part}." for part in frozen)
    for key, parameter in backbone.model.named_parameters():
        assert parameter.requires_grad == (not key.startswith(parts)), key
    assert not any(backbone.model.get_submodule(part).training for part in frozen)


def test_stages_without_a_place_in_the_order_cannot_be_frozen():
    with pytest.raises(UserError, match=r"model\.frozen_stages: the stages of timm/test_resnet are not known"):
        build_backbone("timm/test_resnet").freeze([0])


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "test_efficientnet"])
def test_the_outline_of_an_efficientnet_is_that_of_its_maps(name):
    pyramid = TimmPyramid(name).eval()
    with torch.no_grad():
        maps = pyramid(torch.zeros(1, 3, 64, 64))
    assert tuple(each.shape[1] for each in maps) == pyramid.channels
    assert 64 / maps[-1].shape[-1] == pyramid.stride == 32
    assert pyramid.embed_dim == pyramid.channels[-1]
